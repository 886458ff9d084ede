#!/usr/bin/env bash
# kNN accuracy of frozen features on scikit-learn's digits, beside the untrained encoder and raw pixels.
# Usage: bash_files/knn/digits/knn.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl knn]
#   One GPU, or the CPU: features are computed once. k 5, tau 0.1: there are about 144 images of a class.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl knn --k 5 --tau 0.1 "$@"
