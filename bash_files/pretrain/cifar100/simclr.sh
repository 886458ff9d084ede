#!/usr/bin/env bash
# Pretrain SimCLR on CIFAR-100: ResNet-18, 1000 epochs, 256 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/cifar100/simclr.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write cifar100 cifar100_train.beton --split train --root FOLDER
#   1 GPU:  the default: 256 images.
#   8 GPUs: --trainer.devices 8: 32 images on each; add --trainer.sync_batchnorm true, so that BatchNorm sees all of them.
#   Little memory: --data.batch_size 128 (a divisor of 256): the rest is accumulated.
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config cifar100/simclr --data.train FILE   (more in that script)
# Recipe: solo-learn (1000 epochs; it reports 65.78 % by its online linear probe).  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/cifar100/simclr.yaml" "$@"
