#!/usr/bin/env bash
# Pretrain MASSRL on CIFAR-10: ResNet-18, 1000 epochs, 256 images a step on 1, 2, 4, 8 or more GPUs.
# Usage: bash_files/pretrain/cifar10/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
#   FILE:   massrl data write cifar10 cifar10_train.beton --split train --root FOLDER
#   1 GPU:  the default: 256 images.
#   8 GPUs: --trainer.devices 8: 32 images on each; add --trainer.sync_batchnorm true, so that BatchNorm sees all of them.
#   Little memory: --data.batch_size 128 (a divisor of 256): the rest is accumulated.
#   Nodes:  sbatch [...] bash_files/slurm/pretrain.sh --run FOLDER --config cifar10/massrl --data.train FILE   (more in that script)
# Tips of MASSRL's README, for ImageNet: base_lr lower for longer runs (0.3 to 0.4 for 100 epochs, about 0.2 for long ones).
# Published: none on this data set.  Here: not run.
# Any number of strategies, on two shared crops: --data.views simclr32+randaugment
#   (names: massrl list strategies; view sets: massrl list views); two views, at the cost of BYOL: --data.views massrl_2
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/cifar10/massrl.yaml" "$@"
