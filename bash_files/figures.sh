#!/usr/bin/env bash
# Draw the pictures of the README and the docs into images/, and run the notebook, which keeps its outputs.
# Usage: bash_files/figures.sh
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
need jupyter-execute test.sh              # comes with nbclient
"${VENV:+$VENV/bin/}python" -m massrl.report.pictures "$root/images"
"${VENV:+$VENV/bin/}python" -m massrl.report.pictures.notebook "$root/notebooks/augmentations.ipynb"
