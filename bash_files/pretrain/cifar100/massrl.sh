#!/usr/bin/env bash
# Pretrain MASSRL on CIFAR-100.  Usage: bash_files/pretrain/cifar100/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
# Strategies, any number of them, on two crops that they share: --data.views simclr32+randaugment
# (massrl list strategies; sets of them: massrl list views)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/cifar100/massrl.yaml" "$@"
