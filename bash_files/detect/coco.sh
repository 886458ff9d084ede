#!/usr/bin/env bash
# Faster R-CNN with a feature pyramid on a checkpoint's backbone, trained on COCO by MoCo's settings: average precision.
# Usage: bash_files/detect/coco.sh --checkpoint CKPT --train COCO/train2017 --train_json COCO/annotations/instances_train2017.json
#        --test COCO/val2017 --test_json COCO/annotations/instances_val2017.json [--devices N] [any flag of massrl detect]
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl detect --settings moco "$@"
