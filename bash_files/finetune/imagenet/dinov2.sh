#!/usr/bin/env bash
# Fine-tune a checkpoint on all labels of ImageNet: the protocol of DINOv2, for ViTs of timm.
# Usage: bash_files/finetune/imagenet/dinov2.sh --checkpoint CKPT --train FILE --test FILE [--devices N] [any flag of massrl finetune]
#   512 images a step on any number of GPUs: --devices 8 takes 64 on each. On 1 GPU that is too small, --batch_size scales the rate;
#   the result names it as another setting than the protocol's. --scratch: the same network from random weights, too.
# Published: MASSRL gives no figure.  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl finetune --config "$root/configs/finetune/imagenet/dinov2.yaml" "$@"
