#!/usr/bin/env bash
# Draw the pictures of the README into images/.  Usage: bash_files/figures.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
"${VENV:+$VENV/bin/}python" -m massrl.report.picture "$root/images/views.png"
