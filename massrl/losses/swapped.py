"""Swapped prediction, the part that SwAV and DINO share: each view predicts the target distributions of other views."""

from __future__ import annotations

from torch import Tensor


def swapped_cross_entropy(scores: Tensor, targets: Tensor, tau: float) -> Tensor:
    """Mean over target views a, views v != a and images of  -sum_k targets_a^k log softmax(scores_v/tau)^k.

    scores: (V, B, K) logits of all views, targets: (A, B, K) distributions over K, of the first A of these views.
    Returns a scalar. Gradient flows to `scores` only.
    """
    A, V = len(targets), len(scores)
    targets = targets.detach()
    every = targets.sum(0)  # (B, K)
    total = scores.new_zeros(())
    for v, s in enumerate(scores):  # view by view: all views together would not fit a CPU's cache
        others = every - targets[v] if v < A else every  # (B, K), sum of the targets that view v predicts
        total = total - (others * (s / tau).log_softmax(-1)).sum(-1).mean()
    return total / (A * V - min(A, V))
