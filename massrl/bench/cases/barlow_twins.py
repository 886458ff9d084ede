"""Barlow Twins, one pair of channels at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import barlow_twins


def reference(z1: Tensor, z2: Tensor) -> Tensor:
    B, D = z1.shape

    def channel(z: Tensor, j: int) -> list[Tensor]:
        mean = sum(z[b, j] for b in range(B)) / B
        variance = sum((z[b, j] - mean) ** 2 for b in range(B)) / B
        return [(z[b, j] - mean) / torch.sqrt(variance + 1e-5) for b in range(B)]

    one, two = ([channel(z, j) for j in range(D)] for z in (z1, z2))
    total = 0.0
    for i in range(D):
        for j in range(D):
            c = sum(a * b for a, b in zip(one[i], two[j], strict=True)) / B
            total = total + ((1 - c) ** 2 if i == j else 0.0051 * c**2)
    return total


Case(
    name="barlow_twins",
    source="Barlow Twins, arXiv:2103.03230, eq. 1 and 2",
    equation="sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2, C the correlation of z1 with z2 over the batch",
    draw=lambda g, B, D: {"z1": normal(g, B, D), "z2": normal(g, B, D)},
    loss=barlow_twins,
    reference=reference,
    learns=("z1", "z2"),
    split={"z1": 0, "z2": 0},
)
