#!/usr/bin/env bash
# Install massrl, pretrain an encoder without labels, and show what it is worth.
# Usage: bash_files/quickstart.sh [FOLDER] [--index-url URL] [--extra-index-url URL] [any flag of massrl quickstart]
#   Without FOLDER: scikit-learn's handwritten digits, no download.  FOLDER: images of yours, in class folders or flat.
#   VENV=path or an activated environment is used as it is; else .venv beside this checkout is made.
#   --check runs two steps in the present environment and installs nothing.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

for word in "$@"; do
    case "$word" in
        --check) source "$root/bash_files/env.sh"; exec massrl quickstart "$@" ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
            echo "The flags of massrl quickstart, once it is installed: massrl quickstart --help"
            exit 0
            ;;
    esac
done

source "$root/bash_files/install.sh"
take_options "$@"
echo "massrl quickstart will"
echo "  1. $(describe_install "")"
echo "  2. pretrain without labels, evaluate, and write a report into runs/ of this folder: about 5 minutes on 2 cores"
prepare ""
exec massrl quickstart ${rest[@]+"${rest[@]}"}
