#!/usr/bin/env bash
# Pretrain on a SLURM cluster: a checkpoint before the time limit, and the job is queued again until the run is complete.
# Usage: sbatch [options of sbatch] bash_files/slurm/pretrain.sh --run FOLDER --data.train FILE [any flag of massrl pretrain]
# Example: sbatch --nodes 2 --gpus-per-node 8 --ntasks-per-node 8 bash_files/slurm/pretrain.sh --run runs/massrl \
#            --config imagenet/massrl --data.train imagenet_train.beton
# From the checkout's folder, on disks that all nodes share. --run is needed: the job finds its checkpoint there.
# Each GPU has a task. trainer.num_nodes and trainer.devices are those of the job. A recipe's global batch stays what it is, by
# accumulation where it must; --data.batch_size is what a GPU takes at a time.
#SBATCH --job-name=massrl
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=massrl-%j.log
set -euo pipefail
root="${SLURM_SUBMIT_DIR:-$PWD}"            # sbatch runs a copy of this file from elsewhere
[ -f "$root/bash_files/env.sh" ] || { echo "pretrain.sh: error: $root is not massrl's checkout; run sbatch there" >&2; exit 2; }
source "$root/bash_files/env.sh"            # VENV=path, else the activated one, else $root/.venv
case " $* " in *" --run "*|*" --run="*) ;; *) fail "--run is missing; name a folder, in which the job goes on" ;; esac

tasks="${SLURM_NTASKS_PER_NODE:-1}"
echo "$(date -Is) job ${SLURM_JOB_ID:-none}, start ${SLURM_RESTART_COUNT:-0}: ${SLURM_JOB_NUM_NODES:-1} x ${tasks%%(*} tasks"
notice=0
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"    # srun no longer takes it from sbatch by itself
srun --wait 120 massrl pretrain "$@" --trainer.num_nodes "${SLURM_JOB_NUM_NODES:-1}" --trainer.devices "${tasks%%(*}" &
step=$!
trap 'notice=1; kill -USR1 "$step"' USR1    # SLURM gives this shell the notice; srun hands it to the tasks
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do       # the trap ended the wait; the tasks are saving
    code=0
    wait "$step" || code=$?
done
if [ "$notice" = 1 ] && [ "$code" != 0 ]; then
    echo "$(date -Is) the time is up: queued again, to go on from the checkpoint"
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
