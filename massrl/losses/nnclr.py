"""NNCLR: the nearest neighbour of a view in a queue is told from the other images by a prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def nearest_neighbour(z: Tensor, queue: Tensor) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 4:  NN(z, Q) = argmin_{q in Q} |z - q|, both normalised: the q of largest cosine.

    z: (..., D), queue: (Q, D), any norm -> (..., D), rows of the queue. No gradient.
    """
    norms = queue.norm(dim=1).clamp(min=1e-12)  # (Q,); z's own norm changes no order
    return queue[(z @ queue.T / norms).argmax(-1)]


@full_precision
def nnclr(n: Tensor, p: Tensor, tau: float = 0.1, symmetric: bool = False) -> Tensor:
    """NNCLR, arXiv:2104.14548, eq. 3 with the predictions p in the place of z+, for V views, s cosine:
    l_vw = mean over images i of  -log exp(s(n_vi, p_wi)/tau) / sum_k exp(s(n_vi, p_wk)/tau),  n_vi = NN(z_vi, Q).

    n, p: (V, B, D), neighbour and prediction of view v of image b; any norm. Mean over all ordered pairs (v, w) of two
    views; with V = 2 that is  1/2 l_12 + 1/2 l_21.  symmetric: plus the same with the sum over the neighbours,
    sum_k exp(s(n_vk, p_wi)/tau).  Gradient flows to n and p; the queue's rows have none.
    """
    V = len(n)
    logits = torch.einsum("vid,wkd->vwik", F.normalize(n, dim=-1), F.normalize(p, dim=-1)) / tau  # (V, V, B, B)
    log_p = logits.log_softmax(3)
    if symmetric:
        log_p = log_p + logits.log_softmax(2)
    positives = torch.einsum("vwii->vwi", log_p)  # (V, V, B)
    return -positives[~torch.eye(V, dtype=torch.bool)].mean()  # a mask on the CPU: one on a GPU would be waited for
