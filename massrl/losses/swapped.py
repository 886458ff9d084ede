"""What SwAV and DINO share: each view predicts the distributions given to the other views of its image."""

from __future__ import annotations

from torch import Tensor


def swapped_cross_entropy(scores: Tensor, given: Tensor, tau: float) -> Tensor:
    """Mean over given views a and views v != a of -sum_k given_a^k log softmax(scores_v/tau)^k, mean over images.

    scores: (V, B, K) of all views, given: (A, B, K) distributions of the first A of them. Gradient flows to scores.
    """
    A, V = len(given), len(scores)
    given = given.detach()
    every = given.sum(0)  # (B, K)
    total = scores.new_zeros(())
    for v, s in enumerate(scores):  # one at a time: all of them would not fit a CPU's cache
        others = every - given[v] if v < A else every  # (B, K), those that view v predicts
        total = total - (others * (s / tau).log_softmax(-1)).sum(-1).mean()
    return total / (A * V - min(A, V))
