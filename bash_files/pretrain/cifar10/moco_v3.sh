#!/usr/bin/env bash
# Pretrain MoCo v3 on CIFAR-10.  Usage: bash_files/pretrain/cifar10/moco_v3.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/cifar10/moco_v3.yaml" "$@"
