"""SwAV: predict the prototypes that another view of the image is assigned to."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.losses.precision import full_precision
from massrl.losses.swapped import swapped_cross_entropy


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 3 to 5: assignments of B images to K prototypes that all get equal shares,
    Q = diag(u) exp(scores/epsilon) diag(v), by turns divided by the sums of prototypes and of images.

    scores: (B, K) cosines, B images of all processes (and of the queue) -> (B, K), whose rows sum to 1. No gradient.
    """
    # The first turn in logarithms: no overflow, whatever the scores. Afterwards no sum is below 1/(B K).
    q = (scores / epsilon).log_softmax(0).softmax(1)
    for _ in range(iterations - 1):
        q /= q.sum(0)  # each prototype gets an equal share of the images
        q /= q.sum(1, keepdim=True)  # each image is given away once
    return q


@full_precision
def swav(scores: Tensor, assignments: Tensor, tau: float = 0.1) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 1 and 2, with multi-crop (eq. 6): mean over assigned views a and views v != a of
    -sum_k q_a^k log softmax(scores_v/tau)^k, mean over images.

    scores: (V, B, K) of all views, assignments: (A, B, K) of the first A of them. Only `scores` carries gradient.
    """
    return swapped_cross_entropy(scores, assignments, tau)
