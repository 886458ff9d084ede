#!/usr/bin/env bash
# Linear probe of frozen features on scikit-learn's digits, compared with the untrained encoder.
# Usage: bash_files/linear/digits.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl linear]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl linear "$@"
