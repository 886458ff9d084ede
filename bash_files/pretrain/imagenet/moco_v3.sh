#!/usr/bin/env bash
# Pretrain MoCo v3 on ImageNet: ResNet-50, 300 epochs, 4096 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/imagenet/moco_v3.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write FOLDER imagenet_train.beton, from class folders; or the folder itself
#   8 GPUs: --trainer.devices 8: 2 x 256 images on each, accumulated.
#   1 GPU:  --trainer.devices 1: 16 x 256 images, accumulated. A step has the same images, but the loss compares 256 of them at a time;
#           --data.batch_size sets how many (a divisor of 4096; 4096 is the recipe itself).
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config imagenet/moco_v3 --data.train FILE   (more in that script)
# Recipe: the authors' code (global batch 4096, 300 epochs; 72.8 % linear reported, from memory).  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/imagenet/moco_v3.yaml" "$@"
