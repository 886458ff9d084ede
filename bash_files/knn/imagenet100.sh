#!/usr/bin/env bash
# kNN accuracy of frozen features on ImageNet-100, compared with the untrained encoder.
# Usage: bash_files/knn/imagenet100.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl knn]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl knn "$@"
