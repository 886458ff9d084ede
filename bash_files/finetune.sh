#!/usr/bin/env bash
# Fine-tune a checkpoint on all labels by the protocol of a paper, with the settings of configs/finetune.
# Usage: bash_files/finetune.sh DATASET PROTOCOL --checkpoint CKPT --train FILE --test FILE [any flag of massrl finetune]
# Example: bash_files/finetune.sh imagenet mae --checkpoint runs/RUN --train train.beton --test test.beton --epochs 10
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
[[ ${1:-} == --help ]] && exec massrl finetune --help
config="$root/configs/finetune/${1:-}/${2:-}.yaml"
if [[ $# -lt 2 || ! -f "$config" ]]; then
  known=("$root"/configs/finetune/*/*.yaml)
  known=("${known[@]#"$root/configs/finetune/"}")
  known=("${known[@]%.yaml}")
  printf -v list '%s, ' "${known[@]/\// }"
  echo "finetune.sh: no settings for '${1:-} ${2:-}'; there are: ${list%, }" >&2
  exit 2
fi
shift 2
exec massrl finetune --config "$config" "$@"
