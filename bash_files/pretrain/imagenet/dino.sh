#!/usr/bin/env bash
# Pretrain DINO on ImageNet: ViT-S/16, 800 epochs, 1024 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/imagenet/dino.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write FOLDER imagenet_train.beton, from class folders; or the folder itself
#   8 GPUs: --trainer.devices 8: 2 x 64 images on each, accumulated.
#   1 GPU:  --trainer.devices 1: 16 x 64 images, accumulated. A step has the same images, but the centre sees 64 of them at a time;
#           --data.batch_size sets how many (a divisor of 1024; 1024 is the recipe itself).
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config imagenet/dino --data.train FILE   (more in that script)
# Recipe: the authors' code (global batch 1024, 800 epochs; 74.5 % kNN, 77.0 % linear reported).  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/imagenet/dino.yaml" "$@"
