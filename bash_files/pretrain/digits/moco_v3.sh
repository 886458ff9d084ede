#!/usr/bin/env bash
# Pretrain MoCo v3 on scikit-learn's digits.  Usage: bash_files/pretrain/digits/moco_v3.sh --data.train FILE [--trainer.devices N] [any flag of massrl pretrain]
# To make FILE: massrl data write digits digits_train.beton --split train
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl pretrain --config "$root/configs/pretrain/digits/moco_v3.yaml" "$@"
