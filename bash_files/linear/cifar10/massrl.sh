#!/usr/bin/env bash
# Train a linear classifier on a frozen encoder, by MASSRL's protocol, on CIFAR-10.
# Usage: bash_files/linear/cifar10/massrl.sh --checkpoint CKPT --train FILE --test FILE [--devices N] [any flag of massrl linear]
#   256 images a step on any number of GPUs: --devices 8 takes 32 on each, --devices 1 all of them. --precision bf16-mixed is quicker.
#   Settings: SGD, 100 epochs, a tenth at 60 and 80, crops and flips. MASSRL's code has no settings of its own: these are solo-learn's for BYOL.
#   Figures depend on the rate (--base_lr): give the one you took. Other protocols: bash_files/linear.sh cifar10 PROTOCOL.
# Published: none on this data set.  Here: not run.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)"
source "$root/bash_files/env.sh"          # VENV=path, else the active environment, else $root/.venv
exec massrl linear --config "$root/configs/linear/cifar10/massrl.yaml" "$@"
