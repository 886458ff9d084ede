#!/usr/bin/env bash
# Build the documentation site into site/ of the checkout; a link that leads nowhere is an error.
# Usage: bash_files/docs.sh [any flag of mkdocs build]      Then open site/index.html.
# Needs the extra `docs`: pip install -c constraints.txt -e '.[docs]'
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
[ -x "$VENV/bin/mkdocs" ] || fail "mkdocs is not installed in $VENV; run $VENV/bin/python -m pip install -e '$root[docs]'"
(cd "$root" && NO_MKDOCS_2_WARNING=1 mkdocs build --strict --clean "$@")
