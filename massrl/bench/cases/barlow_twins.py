"""Reference of Barlow Twins: loops over pairs of channels."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import barlow_twins

LAMBDA = 0.05


def reference(z1: Tensor, z2: Tensor) -> Tensor:
    """Eq. 1 and 2 with lambda = LAMBDA, for z1, z2 (B, D); a scalar."""
    B, D = z1.shape
    total = 0
    for i in range(D):
        for j in range(D):
            a = [z1[b, i] - sum(z1[:, i]) / B for b in range(B)]
            c = [z2[b, j] - sum(z2[:, j]) / B for b in range(B)]
            length = (sum(x * x for x in a) * sum(x * x for x in c)).sqrt()
            C = sum(x * y for x, y in zip(a, c, strict=True)) / length
            total = total + ((1 - C) ** 2 if i == j else LAMBDA * C**2)
    return total


Case(
    name="barlow_twins",
    source="Barlow Twins, arXiv:2103.03230, eq. 1 and 2",
    equation="sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2, C_ij the correlation of channels i and j over images",
    sample=lambda g, B, D: {k: torch.randn(B, D, dtype=torch.float64, generator=g) + 0.5 for k in ("z1", "z2")},
    loss=lambda z1, z2: barlow_twins(z1, z2, lambd=LAMBDA, eps=0.0),
    reference=reference,
    learns=("z1", "z2"),
    split={"z1": 0, "z2": 0},
)
