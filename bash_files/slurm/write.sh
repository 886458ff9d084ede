#!/usr/bin/env bash
# Write a .beton file on a SLURM cluster by an array of jobs, each its own shard, on a disk that all nodes share.
# Usage: sbatch --array 0-15 [options of sbatch] bash_files/slurm/write.sh SOURCE FILE.beton --shards 16 [any flag of massrl data write]
# Example: sbatch --array 0-15 bash_files/slurm/write.sh imagenet/train imagenet_train.beton --shards 16 --max_resolution 512
# From the checkout's folder. A shard that failed, as number 7, is written again by: sbatch --array 7 ... with the same words.
# Then read 'FILE-*-of-00016.beton' as one data set, or merge it: sbatch --dependency afterok:JOB --wrap "massrl data merge ..."
#SBATCH --job-name=massrl-write
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=massrl-write-%A_%a.log
set -euo pipefail
root="${SLURM_SUBMIT_DIR:-$PWD}"            # sbatch runs a copy of this file from elsewhere
[ -f "$root/bash_files/env.sh" ] || { echo "write.sh: error: $root is not massrl's checkout; run sbatch there" >&2; exit 2; }
source "$root/bash_files/env.sh"            # VENV=path, else the activated one, else $root/.venv
[ -n "${SLURM_ARRAY_TASK_ID:-}" ] || fail "this is no job of an array; give sbatch --array 0-15 for 16 shards"
case " $* " in
    *" --shard "*|*" --shard="*) fail "--shard is the number of the job in the array; leave it out" ;;
    *" --shards "*|*" --shards="*) ;;       # not the size of the array: one shard may be written again alone
    *) fail "--shards is missing; give the number of all shards, for sbatch --array 0-15 --shards 16" ;;
esac

echo "$(date -Is) job ${SLURM_ARRAY_JOB_ID:-none}, shard $SLURM_ARRAY_TASK_ID, start ${SLURM_RESTART_COUNT:-0}"
workers=(--num_workers "${SLURM_CPUS_PER_TASK:-1}")     # first, so that a flag of the user wins
massrl data write "${workers[@]}" "$@" --shard "$SLURM_ARRAY_TASK_ID"
echo "$(date -Is) when all shards are there, merge them: massrl data merge FILE.beton 'FILE-*-of-N.beton'; or read the pattern"
