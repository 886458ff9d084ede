"""Negative cosine similarity: the loss of SimSiam."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def negative_cosine(p: Tensor, z: Tensor) -> Tensor:
    """SimSiam, arXiv:2011.10566, eq. 1:  D(p, z) = -cos(p, z).

    p, z: (..., D), any norm. Mean over all but the last axis. Gradient flows to both: detach the target in the call.
    """
    return -F.cosine_similarity(p, z, dim=-1).mean()
