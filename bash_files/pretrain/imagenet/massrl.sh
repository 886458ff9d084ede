#!/usr/bin/env bash
# Pretrain MASSRL on ImageNet: ResNet-50, 300 epochs, 2048 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/imagenet/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write FOLDER imagenet_train.beton, from class folders; or the folder itself
#   8 GPUs: --trainer.devices 8: 256 images on each.
#   1 GPU:  --trainer.devices 1: 8 x 256 images, accumulated. A step has the same images, but BatchNorm sees 256 of them at a time;
#           --data.batch_size sets how many (a divisor of 2048; 2048 is the recipe itself).
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config imagenet/massrl --data.train FILE   (more in that script)
# Memory, from the activations of 8 views of 224 px that a step keeps (0.35 GB an image in bfloat16, counted, not measured on a GPU):
#   256 images 90 GB, 128 images 45 GB, 64 images 23 GB, 32 images 12 GB; give --data.batch_size what fits.
# Tips of MASSRL's README: --model.optim.base_lr 0.3 to 0.4 for short runs (100 epochs: --trainer.max_epochs 100), about 0.2 for long ones;
#   0.3, the default, is 2.4 at 2048 images. Stop and go on: the same command with --run FOLDER.
# Published: linear 73.46 % top-1, 91.3 top-5; with --model.out_dim 512, 73.8 and 91.5 (README and charts of MA_SSRL_Pytorch).
#   kNN and transfer: none at hand.  Here: not run.
# Any number of strategies, on two shared crops: --data.views simclr+randaugment+autoaugment
#   (names: massrl list strategies; view sets: massrl list views); two views, at the cost of BYOL: --data.views massrl_2
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/imagenet/massrl.yaml" "$@"
