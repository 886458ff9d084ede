#!/usr/bin/env bash
# Install massrl with what its tests need, and run the tests.
# Usage: bash_files/test.sh [--long] [--index-url URL] [--extra-index-url URL] [PATH ...] [any flag of pytest]
#   --long adds the tests that take minutes each.  Without PATH: all tests.
#   VENV=path or an activated environment is used as it is; else .venv beside this checkout is made.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/install.sh"
take_options "$@"
echo "massrl test will"
echo "  1. $(describe_install dev)"
echo "  2. run the tests: under 10 minutes on 2 cores"
prepare dev
source "$root/bash_files/run_tests.sh"
run_tests ${rest[@]+"${rest[@]}"}
