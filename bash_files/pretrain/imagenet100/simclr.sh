#!/usr/bin/env bash
# Pretrain SimCLR on ImageNet-100: ResNet-18, 400 epochs, 256 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/imagenet100/simclr.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write FOLDER imagenet100_train.beton, from class folders; or the folder itself
#   8 GPUs: --trainer.devices 8: 32 images on each.
#   1 GPU:  --trainer.devices 1: 2 x 128 images, accumulated. A step has the same images, but the loss compares 128 of them at a time;
#           --data.batch_size sets how many (a divisor of 256; 256 is the recipe itself).
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config imagenet100/simclr --data.train FILE   (more in that script)
# Recipe: solo-learn (400 epochs; it reports 77.64 % by its online linear probe).  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/imagenet100/simclr.yaml" "$@"
