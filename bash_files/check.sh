#!/usr/bin/env bash
# Format, lint, types, tests, in the present environment: what a change must pass.
# Usage: bash_files/check.sh [--long] [PATH ...] [any flag of pytest]     To put the format right: ruff format
#        bash_files/check.sh --no-tests                                   format, lint and types alone (seconds)
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
need ruff test.sh
need mypy test.sh
need pytest test.sh
ruff format --check "$root"
ruff check "$root"
(cd "$root" && mypy)                      # the files that pyproject.toml names
[ "${1:-}" != --no-tests ] || exit 0
source "$root/bash_files/run_tests.sh"
run_tests "$@"
