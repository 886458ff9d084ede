"""Squared Euclidean distance of L2-normalised vectors: the loss of BYOL and MASSRL."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """BYOL, arXiv:2006.07733, eq. 2:  |p/|p| - z/|z||^2 = 2 - 2 cos(p, z), in 0..4.

    p: (..., D) predictions, z: (..., D) targets, float; normalised here. Returns a scalar: the mean over all axes but
    the last. Gradient flows to both; the caller detaches the target.
    """
    return 2 - 2 * F.cosine_similarity(p, z, dim=-1).mean()


@full_precision
def pairwise_cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """BYOL, arXiv:2006.07733, eq. 2 for every pair of views:  d_ij = mean over b of 2 - 2 cos(p[i, b], z[j, b]).

    p: (V, B, D) predictions, z: (W, B, D) targets, float; normalised here. Returns d, (V, W), each entry in 0..4.
    Gradient flows to both; the caller detaches the target.
    """
    cosine = F.normalize(p, dim=-1).transpose(0, 1) @ F.normalize(z, dim=-1).permute(1, 2, 0)  # (B, V, W)
    return 2 - 2 * cosine.mean(0)
