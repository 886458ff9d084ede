"""A measure of collapse, to be logged beside a loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def feature_std(z: Tensor) -> Tensor:
    """SimSiam, arXiv:2011.10566, sec. 4.1: deviation over the batch of each channel of z/|z|, mean over channels.

    z: (B, D), any norm. About 1/sqrt(D) where directions are spread evenly, 0 where all collapse to one. No gradient.
    """
    return F.normalize(z, dim=1).std(0, correction=0).mean()
