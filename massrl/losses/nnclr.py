"""NNCLR: InfoNCE whose positive is the nearest neighbour of a view in a queue of past embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def nearest_neighbour(z: Tensor, queue: Tensor) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 4:  NN(z, Q) = argmin_{q in Q} |z - q| of normalised vectors: the q with the largest
    cosine to z.

    z: (..., D), queue: (Q, D), float of any norm. Returns (..., D): for each z its nearest row of `queue`, as stored
    (not normalised), without gradient.
    """
    norms = queue.norm(dim=1).clamp(min=1e-12)  # (Q,); the norm of z does not change the argmax
    return queue[(z @ queue.T / norms).argmax(-1)]


@full_precision
def nnclr(n: Tensor, p: Tensor, tau: float = 0.1, symmetric: bool = False) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 3 with the predictions p instead of z+, for V views and s = cosine:
    l_vw = mean over images i of  -log exp(s(n_vi, p_wi)/tau) / sum_k exp(s(n_vi, p_wk)/tau),  n_vi = NN(z_vi, Q).

    n: (V, B, D) nearest neighbours, p: (V, B, D) predictions, of view v of image b; float, normalised here.
    symmetric: add the loss whose denominator sums over the neighbours, sum_k exp(s(n_vk, p_wi)/tau).
    Returns a scalar: the mean over all ordered pairs v != w; with V = 2,  1/2 l_12 + 1/2 l_21.
    Gradient flows to n and p; n from `nearest_neighbour` has none.
    """
    V = len(n)
    logits = torch.einsum("vid,wkd->vwik", F.normalize(n, dim=-1), F.normalize(p, dim=-1)) / tau  # (V, V, B, B)
    log_p = logits.log_softmax(3)
    if symmetric:
        log_p = log_p + logits.log_softmax(2)
    positives = torch.einsum("vwii->vwi", log_p)  # (V, V, B)
    itself = torch.eye(V, dtype=torch.bool, device=p.device)[..., None]  # a masked sum: indexing would wait for a GPU
    return -positives.masked_fill(itself, 0.0).sum() / (V * (V - 1) * p.shape[1])
