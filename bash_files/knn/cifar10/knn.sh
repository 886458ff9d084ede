#!/usr/bin/env bash
# kNN accuracy of frozen features on CIFAR-10, beside the untrained encoder and raw pixels.
# Usage: bash_files/knn/cifar10/knn.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl knn]
#   One GPU, or the CPU: features are computed once. k 20 (MASSRL's --knn_k 20) and tau 0.07 are the defaults, DINO's; --k 10,20,100,200 is a grid.
# Published: MASSRL gives no kNN accuracy.  Here: docs/zoo.md has small networks.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl knn "$@"
