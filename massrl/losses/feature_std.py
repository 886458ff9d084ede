"""A measure of collapse to log next to a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def feature_std(z: Tensor) -> Tensor:
    """SimSiam, arXiv:2011.10566, sec. 4.1: standard deviation of each channel of z/|z| over the batch, averaged.

    z: (B, D) float; normalised here. Returns a scalar without gradient: about 1/sqrt(D) when the embeddings are spread
    evenly over the sphere, 0 when all are equal (collapse).
    """
    return F.normalize(z, dim=1).std(0, correction=0).mean()
