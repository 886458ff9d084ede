#!/usr/bin/env bash
# Nearest neighbours on frozen features of scikit-learn's digits, beside the untrained encoder.
# Usage: bash_files/knn/digits.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl knn]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
exec massrl knn --k 5 --tau 0.1 "$@"
