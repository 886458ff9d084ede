#!/usr/bin/env bash
# Fine-tune a checkpoint on 1 % of the labels of CIFAR-10.  Usage: bash_files/semi/cifar10/1percent.sh --checkpoint CKPT --train FILE --test FILE [any flag of massrl semi]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl semi --config "$root/configs/semi/cifar10/1percent.yaml" "$@"
