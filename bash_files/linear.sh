#!/usr/bin/env bash
# Train a linear classifier on a frozen encoder by the protocol of a paper, with the settings of configs/linear.
# Usage: bash_files/linear.sh DATASET PROTOCOL --checkpoint CKPT --train FILE --test FILE [any flag of massrl linear]
# Example: bash_files/linear.sh cifar10 moco --checkpoint runs/RUN --train train.beton --test test.beton --epochs 10
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
[[ ${1:-} == --help ]] && exec massrl linear --help
config="$root/configs/linear/${1:-}/${2:-}.yaml"
if [[ $# -lt 2 || ! -f "$config" ]]; then
  known=("$root"/configs/linear/*/*.yaml)
  known=("${known[@]#"$root/configs/linear/"}")
  known=("${known[@]%.yaml}")
  printf -v list '%s, ' "${known[@]/\// }"
  echo "linear.sh: no settings for '${1:-} ${2:-}'; there are: ${list%, }" >&2
  exit 2
fi
shift 2
exec massrl linear --config "$config" "$@"
