#!/usr/bin/env bash
# Makes the table of docs/bench.md: our loader and the installed peers on 1,000 JPEGs cut from scikit-learn's photographs.
# Usage: bash_files/bench/photographs.sh [any flag of massrl data bench]     Data and results go to runs/bench.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the activated one, else $root/.venv
out=runs/bench
if [ ! -e "$out/photographs.beton" ]; then
    "${VENV:+$VENV/bin/}python" -m data_loading.bench.images "$out/photographs"
    massrl data write "$out/photographs" "$out/photographs.beton"
fi
massrl data bench "$out/photographs.beton" --json "$out/photographs.json" --chart "$out/photographs.png" "$@"
