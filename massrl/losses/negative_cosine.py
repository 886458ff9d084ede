"""Negative cosine similarity: the loss of SimSiam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """SimSiam, arXiv:2011.10566, eq. 1:  D(p, z) = -cos(p, z).

    p: (..., D) predictions, z: (..., D) targets, float; normalised here. Returns a scalar in -1..1: the mean over all
    axes but the last. Gradient flows to both; the caller detaches the target (the stop-gradient).
    """
    return -F.cosine_similarity(p, z, dim=-1).mean()
