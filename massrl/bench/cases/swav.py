"""Reference of SwAV: loops over images and pairs of views, with the authors' loop for the assignments."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import sinkhorn, swav


def assignments(scores: Tensor) -> Tensor:
    """The authors' Sinkhorn loop for scores (B, K), with epsilon = 0.05 and 3 iterations, in Python floats; (B, K)."""
    B, K = scores.shape
    Q = [[float(torch.exp(scores[b, k] / 0.05)) for b in range(B)] for k in range(K)]
    total = sum(map(sum, Q))
    Q = [[x / total for x in row] for row in Q]
    for _ in range(3):
        Q = [[x / sum(row) / K for x in row] for row in Q]
        columns = [sum(row[b] for row in Q) for b in range(B)]
        Q = [[row[b] / columns[b] / B for b in range(B)] for row in Q]
    return torch.tensor([[Q[k][b] * B for k in range(K)] for b in range(B)], dtype=scores.dtype)


def reference(scores: Tensor, given: Tensor) -> Tensor:
    """Eq. 1, 2 and 6 with tau = 0.1, for scores (V, B, K); `given` (2, B, K) are the scores that are assigned."""
    V, B, K = scores.shape
    q = [assignments(given[a]) for a in range(2)]
    terms = []
    for a in range(2):
        for v in range(V):
            if v == a:
                continue
            for b in range(B):
                powers = [torch.exp(scores[v, b, k] / 0.1) for k in range(K)]
                terms.append(-sum(q[a][b, k] * torch.log(powers[k] / sum(powers)) for k in range(K)))
    return sum(terms) / len(terms)


# Assigned scores are an input of their own, because the assignment has no gradient.
Case(
    name="swav",
    source="SwAV, arXiv:2006.09882, eq. 1, 2 and 6, assignments by Sinkhorn (eq. 3 to 5, 3 iterations)",
    equation="mean over a, v != a of -sum_k q_a^k log softmax(s_v/tau)^k, q = sinkhorn(s_a/epsilon)",
    sample=lambda g, B, D: {"scores": 0.2 * normal(g, 3, B, D), "given": 0.2 * normal(g, 2, B, D)},
    loss=lambda scores, given: swav(scores, torch.stack([sinkhorn(s) for s in given])),
    reference=reference,
    learns=("scores",),
    split={"scores": 1, "given": 1},
)
