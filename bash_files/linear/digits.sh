#!/usr/bin/env bash
# Linear probe on frozen features of scikit-learn's digits, beside the untrained encoder.
# Usage: bash_files/linear/digits.sh --checkpoint CKPT --train FILE --test FILE [--json OUT] [any flag of massrl linear]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
exec massrl linear "$@"
