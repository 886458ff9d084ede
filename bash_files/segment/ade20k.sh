#!/usr/bin/env bash
# Linear head on a checkpoint's frozen feature maps, trained on ADE20K by DINOv3's settings: mean IoU of 150 classes.
# Usage: bash_files/segment/ade20k.sh --checkpoint CKPT --train ADE/images/training --train_masks ADE/annotations/training
#        --test ADE/images/validation --test_masks ADE/annotations/validation [--devices N] [any flag of massrl segment]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl segment --settings dinov3 --classes 150 --zero_is_ignored "$@"
