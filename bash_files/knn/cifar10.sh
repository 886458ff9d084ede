#!/usr/bin/env bash
# kNN accuracy of frozen features on CIFAR-10, compared with the untrained encoder.
# Usage: bash_files/knn/cifar10.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl knn]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl knn "$@"
