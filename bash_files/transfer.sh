#!/usr/bin/env bash
# Evaluate a frozen encoder on the data sets of a list of configs/transfer, each by its own metric.
# Usage: bash_files/transfer.sh LIST --checkpoint CKPT --root FOLDER [any flag of massrl transfer]
# Example: bash_files/transfer.sh ssl_transfer --checkpoint runs/RUN --root data --only pets,flowers
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
[[ ${1:-} == --help ]] && exec massrl transfer --help
list="$root/configs/transfer/${1:-}.yaml"
if [[ $# -lt 1 || ! -f "$list" ]]; then
  known=("$root"/configs/transfer/*.yaml)
  known=("${known[@]##*/}")
  printf -v names '%s, ' "${known[@]%.yaml}"
  echo "transfer.sh: no list '${1:-}'; there are: ${names%, }" >&2
  exit 2
fi
shift
exec massrl transfer --sets "$list" "$@"
