"""References of BYOL's distance: loops over images, and over pairs of views."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import cosine_distance, pairwise_cosine_distance


def reference(p: Tensor, z: Tensor) -> Tensor:
    """Eq. 2 for p, z (B, D), mean over images; a scalar."""
    each = [(p[b] / p[b].norm() - z[b] / z[b].norm()).square().sum() for b in range(len(p))]
    return sum(each) / len(each)


Case(
    name="cosine_distance",
    source="BYOL, arXiv:2006.07733, eq. 2",
    equation="|p/|p| - z/|z||^2, mean over images",
    sample=lambda g, B, D: {k: torch.randn(B, D, dtype=torch.float64, generator=g) for k in ("p", "z")},
    loss=cosine_distance,
    reference=reference,
    learns=("p", "z"),
    split={"p": 0, "z": 0},
    over_ranks="mean",
)


def pairwise_reference(p: Tensor, z: Tensor) -> Tensor:
    """`weighted` from `reference`, for p (3, B, D) and z (2, B, D)."""
    return sum((1 + i + 10 * j) * reference(p[i], z[j]) for i in range(len(p)) for j in range(len(z)))


def weighted(p: Tensor, z: Tensor) -> Tensor:
    """The sum of all distances with distinct weights, so that exchanged entries change it; a scalar."""
    d = pairwise_cosine_distance(p, z)  # (3, 2)
    return sum((1 + i + 10 * j) * d[i, j] for i in range(len(p)) for j in range(len(z)))


Case(
    name="pairwise_cosine_distance",
    source="BYOL, arXiv:2006.07733, eq. 2, between all views",
    equation="d_ij = |p_i/|p_i| - z_j/|z_j||^2, mean over images; the sum of 1 d_00 + 2 d_10 + ... is compared",
    sample=lambda g, B, D: {k: torch.randn(n, B, D, dtype=torch.float64, generator=g) for k, n in (("p", 3), ("z", 2))},
    loss=weighted,
    reference=pairwise_reference,
    learns=("p", "z"),
    split={"p": 1, "z": 1},
    over_ranks="mean",
)
