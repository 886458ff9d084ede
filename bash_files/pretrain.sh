#!/usr/bin/env bash
# Pretrain without labels on a .beton file or a folder of images, by a recipe of configs/pretrain or by flags alone.
# Usage: bash_files/pretrain.sh DATASET METHOD --data.train FILE_OR_FOLDER [any flag of massrl pretrain]
#        bash_files/pretrain.sh --data.train FILE_OR_FOLDER [--model SimCLR] [--minutes 4]      (MASSRL with ResNet-18)
# Example: bash_files/pretrain.sh cifar10 moco_v2_plus --data.train cifar10_train.beton --trainer.devices 1
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
recipe=()
if [[ $# -ge 1 && $1 != -* ]]; then
  file="$root/configs/pretrain/$1/${2:-}.yaml"
  if [[ ! -f "$file" ]]; then
    known=("$root"/configs/pretrain/*/*.yaml)
    known=("${known[@]#"$root/configs/pretrain/"}")
    known=("${known[@]%.yaml}")
    printf -v list '%s, ' "${known[@]/\// }"
    echo "pretrain.sh: no recipe for '$1 ${2:-}'; there are: ${list%, }" >&2
    exit 2
  fi
  recipe=(--config "$file")
  shift 2
fi
exec massrl pretrain "${recipe[@]}" "$@"
