"""The squared distance of normalised vectors: the loss of BYOL and MASSRL."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """BYOL, arXiv:2006.07733, eq. 2:  |p/|p| - z/|z||^2 = 2 - 2 cos(p, z), from 0 to 4.

    p, z: (..., D), any norm. Mean over all but the last axis. Gradient flows to both: detach the target in the call.
    """
    return 2 - 2 * F.cosine_similarity(p, z, dim=-1).mean()


@full_precision
def pairwise_cosine_distance(p: Tensor, z: Tensor) -> Tensor:
    """BYOL's eq. 2 between every view of p and every view of z:  d_ij = mean over b of 2 - 2 cos(p[i, b], z[j, b]).

    p: (V, B, D), z: (W, B, D), any norm -> (V, W). Gradient flows to both: detach the target in the call.
    """
    cosine = F.normalize(p, dim=-1).transpose(0, 1) @ F.normalize(z, dim=-1).permute(1, 2, 0)  # (B, V, W)
    return 2 - 2 * cosine.mean(0)
