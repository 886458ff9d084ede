#!/usr/bin/env bash
# Pretrain MASSRL on scikit-learn's digits.  Usage: bash_files/pretrain/digits/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
# FILE: massrl data write digits digits_train.beton --split train
# Strategies, any number of them, on two crops that they share: --data.views digits_affine+digits_erase+digits_all
# (massrl list strategies; sets of them: massrl list views)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/digits/massrl.yaml" "$@"
