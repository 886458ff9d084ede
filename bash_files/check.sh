#!/usr/bin/env bash
# Format, lint, tests, in the present environment: what a change must pass.
# Usage: bash_files/check.sh [--long] [PATH ...] [any flag of pytest]     Mend the format with: ruff format
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
need ruff test.sh
need pytest test.sh
ruff format --check "$root"
ruff check "$root"
source "$root/bash_files/run_tests.sh"
run_tests "$@"
