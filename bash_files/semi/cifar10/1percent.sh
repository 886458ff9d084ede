#!/usr/bin/env bash
# Fine-tune a checkpoint on 1 % of the labels of CIFAR-10, beside the linear probe on the same images.
# Usage: bash_files/semi/cifar10/1percent.sh --checkpoint CKPT --train FILE --test FILE [--devices N] [any flag of massrl semi]
#   1 or 8 GPUs: --devices 1, --devices 8: 64 images a step on any number. The rate is chosen on a fifth of the labelled images.
#   MASSRL's settings, which are for ImageNet (4096 images a step): --protocol massrl.
# Published: none on this data set.  Here: docs/zoo.md has a small network.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl semi --config "$root/configs/semi/cifar10/1percent.yaml" "$@"
