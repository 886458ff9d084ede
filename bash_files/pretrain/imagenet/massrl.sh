#!/usr/bin/env bash
# Pretrain MASSRL on ImageNet.  Usage: bash_files/pretrain/imagenet/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
# Any number of strategies, on two shared crops: --data.views simclr+randaugment+autoaugment
# (names: massrl list strategies; view sets: massrl list views)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/imagenet/massrl.yaml" "$@"
