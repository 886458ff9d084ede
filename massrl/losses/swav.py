"""SwAV: predict the prototype assignment of another view of the image."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.losses.precision import full_precision
from massrl.losses.swapped import swapped_cross_entropy


@torch.no_grad()
@full_precision
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 3 to 5: soft assignments of B images to K prototypes of equal total weight,
    Q = diag(u) exp(scores/epsilon) diag(v), by Sinkhorn-Knopp (normalise columns and rows in turn).

    scores: (B, K) cosines of images of all processes (and of the queue) to prototypes.
    Returns (B, K) without gradient; each row sums to 1, each column to B/K up to convergence.
    """
    # First iteration in the log domain, so that exp cannot overflow. Afterwards no sum is below 1/(B K).
    q = (scores / epsilon).log_softmax(0).softmax(1)
    for _ in range(iterations - 1):
        q /= q.sum(0)  # equal total weight for every prototype
        q /= q.sum(1, keepdim=True)  # a distribution for every image
    return q


@full_precision
def swav(scores: Tensor, assignments: Tensor, tau: float = 0.1) -> Tensor:
    """SwAV, arXiv:2006.09882, eq. 1 and 2, with multi-crop (eq. 6):
    mean over assigned views a, views v != a and images of  -sum_k q_a^k log softmax(scores_v/tau)^k.

    scores: (V, B, K) cosines of all views to the prototypes, assignments: (A, B, K) q of the first A views, as
    `sinkhorn` returns them. Returns a scalar. Gradient flows to `scores` only.
    """
    return swapped_cross_entropy(scores, assignments, tau)
