#!/usr/bin/env bash
# Linear probe of frozen features on scikit-learn's digits: logistic regression to convergence, beside the untrained encoder.
# Usage: bash_files/linear/digits/probe.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl linear]
#   One GPU, or the CPU: features are computed once, from the centre of each image. --labels 1pct or 10pct: few labels.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl linear "$@"
