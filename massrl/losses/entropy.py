"""Entropies of targets over prototypes, a measure of collapse to log next to a loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from massrl.losses.precision import full_precision


class Entropies(NamedTuple):
    """Entropies in nats, scalars without gradient, of targets over `prototypes` prototypes.

    each: mean over images.  marginal: of the mean over images.  Both are from 0 to log(prototypes).
    """

    each: Tensor
    marginal: Tensor
    prototypes: int


@torch.no_grad()
@full_precision
def entropies(q: Tensor) -> Entropies:
    """Entropies of targets q (B, K), rows of which sum to 1: H(q_b) averaged over images, and H of the mean of q_b.

    DINO, arXiv:2104.14294, watches the first. Their difference is the information that targets have about images. It
    tends to 0 in both kinds of collapse: all targets even (both log K), or all on one prototype (both 0).
    """
    each, marginal = (-torch.special.xlogy(p, p).sum(-1) for p in (q, q.mean(0)))
    return Entropies(each.mean(), marginal, q.shape[1])
