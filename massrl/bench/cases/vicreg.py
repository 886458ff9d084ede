"""VICReg and its parts, one channel and one pair of channels at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import vicreg, vicreg_covariance, vicreg_variance


def cov(z: Tensor, i: int, j: int) -> Tensor:
    B = len(z)
    a, b = (sum(z[n, k] for n in range(B)) / B for k in (i, j))
    return sum((z[n, i] - a) * (z[n, j] - b) for n in range(B)) / (B - 1)


def variance(z: Tensor) -> Tensor:
    D = z.shape[1]
    zero = torch.zeros((), dtype=z.dtype)
    return sum(torch.maximum(zero, 1 - torch.sqrt(cov(z, j, j) + 1e-4)) for j in range(D)) / D


def covariance(z: Tensor) -> Tensor:
    D = z.shape[1]
    return sum(cov(z, i, j) ** 2 for i in range(D) for j in range(D) if i != j) / D


def whole(z1: Tensor, z2: Tensor) -> Tensor:
    B, D = z1.shape
    s = sum((z1[b, j] - z2[b, j]) ** 2 for b in range(B) for j in range(D)) / (B * D)
    return 25 * s + 25 * (variance(z1) + variance(z2)) + covariance(z1) + covariance(z2)


PAPER = "VICReg, arXiv:2105.04906"
Case(
    name="vicreg",
    source=f"{PAPER}, eq. 6",
    equation="25 mean (z1 - z2)^2 + 25 (v(Z) + v(Z')) + c(Z) + c(Z')",
    draw=lambda g, B, D: {"z1": 0.8 * normal(g, B, D), "z2": 0.8 * normal(g, B, D)},
    loss=vicreg,
    reference=whole,
    learns=("z1", "z2"),
    split={"z1": 0, "z2": 0},
)
for function, loops, eq, text in (
    (vicreg_variance, variance, "eq. 1", "1/D sum_j max(0, 1 - sqrt(Var(z_j) + 1e-4))"),
    (vicreg_covariance, covariance, "eq. 3 and 4", "1/D sum_{i != j} Cov(z_i, z_j)^2"),
):
    Case(
        name=function.__name__,
        source=f"{PAPER}, {eq}",
        equation=text,
        draw=lambda g, B, D: {"z": 0.8 * normal(g, B, D)},
        loss=function,
        reference=loops,
        learns=("z",),
        split={"z": 0},
    )
