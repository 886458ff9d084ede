"""SwAV: predict the prototypes that another view of the image is assigned to."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.losses.precision import full_precision


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 3 to 5: assignments of B images to K prototypes that all get equal shares,
    Q = diag(u) exp(scores/epsilon) diag(v), by turns divided by the sums of prototypes and of images.

    scores: (B, K) cosines, B images of all processes (and of the queue) -> (B, K), whose rows sum to 1. No gradient.
    """
    log_q = scores / epsilon  # in logarithms: no overflow, whatever the scores
    for _ in range(iterations):
        log_q = log_q.log_softmax(0)  # each prototype gets an equal share of the images
        log_q = log_q.log_softmax(1)  # each image is given away once
    return log_q.exp()


@full_precision
def swav(scores: Tensor, assignments: Tensor, tau: float = 0.1) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 1 and 2, with multi-crop (eq. 6): mean over assigned views a and views v != a of
    -sum_k q_a^k log softmax(scores_v/tau)^k, mean over images.

    scores: (V, B, K) of all views, assignments: (A, B, K) of the first A of them. Only `scores` carries gradient.
    """
    log_p = (scores / tau).log_softmax(-1)  # (V, B, K)
    pairs = -torch.einsum("abk,vbk->av", assignments.detach(), log_p) / scores.shape[1]  # (A, V)
    same = torch.eye(*pairs.shape, dtype=torch.bool, device=pairs.device)
    return pairs[~same].mean()
