#!/usr/bin/env bash
# Pretrain MASSRL on scikit-learn's digits.  Usage: bash_files/pretrain/digits/massrl.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
# To make FILE: massrl data write digits digits_train.beton --split train
# Any number of strategies, on two shared crops: --data.views digits_affine+digits_erase+digits_all
# (names: massrl list strategies; view sets: massrl list views)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/digits/massrl.yaml" "$@"
