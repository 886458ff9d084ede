#!/usr/bin/env bash
# Fine-tune a checkpoint on 10 % of the labels of ImageNet.  Usage: bash_files/semi/imagenet/10percent.sh --checkpoint CKPT --train FILE --test FILE [any flag of massrl semi]
# The published list of images, by file names, in place of random ones: --subset_file 10percent.txt
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl semi --config "$root/configs/semi/imagenet/10percent.yaml" "$@"
