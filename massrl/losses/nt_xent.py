"""NT-Xent: the normalised, temperature-scaled cross-entropy of SimCLR."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def nt_xent(z: Tensor, tau: float = 0.5) -> Tensor:
    """SimCLR, arXiv:2002.05709, eq. 1, for V views:  l_ij = -log exp(s_ij/tau) / sum_{k != i} exp(s_ik/tau).

    s is the cosine.  z: (V, B, D) float, z[v, b] is the embedding of view v of image b; normalised here. V
    must be at least 2.
    Returns a scalar: the mean of l_ij over all ordered pairs (i, j) of views of one image. With V > 2 the other
    positives of i are part of its denominator. Gradient flows to all of z.
    """
    V, B, D = z.shape
    z = F.normalize(z.flatten(0, 1), dim=1)  # (V*B, D)
    logits = (z @ z.T / tau).fill_diagonal_(float("-inf"))  # (V*B, V*B), k != i
    log_p = logits.log_softmax(1).view(V, B, V, B)
    positives = torch.einsum("vbwb->vwb", log_p)  # (V, V, B), views v and w of image b
    itself = torch.eye(V, dtype=torch.bool, device=z.device)[..., None]  # a masked sum: indexing would wait for a GPU
    return -positives.masked_fill(itself, 0.0).sum() / (V * (V - 1) * B)
