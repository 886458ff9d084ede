#!/usr/bin/env bash
# Pretrain without labels on a .beton file or a folder of images; MASSRL with ResNet-18 when nothing else is said.
# Usage: bash_files/pretrain.sh --data.train FILE_OR_FOLDER [--model SimCLR] [--minutes 4] [any flag of massrl pretrain]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
exec massrl pretrain "$@"
