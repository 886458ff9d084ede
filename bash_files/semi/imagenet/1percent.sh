#!/usr/bin/env bash
# Fine-tune a checkpoint on 1 % of the labels of ImageNet, beside the linear probe on the same images.
# Usage: bash_files/semi/imagenet/1percent.sh --checkpoint CKPT --train FILE --test FILE [--devices N] [any flag of massrl semi]
# SimCLR's list of images in place of random ones, as in papers: --subset_file 1percent.txt, of google-research/simclr, imagenet_subsets/.
# By MASSRL's protocol: SGD at 0.8 for 4096 images, weight decay 3e-4, a tenth at epochs 24 and 48 of 60.
#   8 GPUs: --devices 8: 512 images on each, which need about 25 GB (counted from activations of a ResNet-50 at 224 px in bfloat16).
#   1 GPU:  --devices 1 --batch_size 512: another batch than MASSRL's, which the result says; its rate is scaled, 0.05 for 256 images.
#   Both with --precision bf16-mixed. A rate chosen on held-out images: --protocol semi; others: vicreg, swav, simclr, byol, paws.
# Published: 56.29 % top-1 (BYOL there: 52.40), 60 epochs.  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl semi --config "$root/configs/semi/imagenet/1percent.yaml" "$@"
