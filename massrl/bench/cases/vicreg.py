"""References of VICReg and its three terms: loops over images and pairs of channels."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import vicreg, vicreg_terms

SIM, VAR, COV = 25.0, 25.0, 1.0


def sample(g: torch.Generator, B: int, D: int) -> dict[str, Tensor]:
    """Embeddings (B, D) with standard deviations from 0.4 to 1.6: the hinge at 1 is active for some channels only."""
    width = torch.linspace(0.4, 1.6, D, dtype=torch.float64)
    return {k: width * torch.randn(B, D, dtype=torch.float64, generator=g) + 0.5 for k in ("z1", "z2")}


def invariance(z1: Tensor, z2: Tensor) -> Tensor:
    """s(Z1, Z2): mean squared difference."""
    B, D = z1.shape
    return sum((z1[b, j] - z2[b, j]) ** 2 for b in range(B) for j in range(D)) / (B * D)


def covariance(z: Tensor, i: int, j: int) -> Tensor:
    """Unbiased covariance of channels i and j over images."""
    B = len(z)
    means = [sum(z[:, k]) / B for k in (i, j)]
    return sum((z[b, i] - means[0]) * (z[b, j] - means[1]) for b in range(B)) / (B - 1)


def hinge(z: Tensor) -> Tensor:
    """v(Z): mean over channels of max(0, 1 - sqrt(Var + 1e-4))."""
    D = z.shape[1]
    gaps = [1 - (covariance(z, j, j) + 1e-4).sqrt() for j in range(D)]
    return (
        sum(gap for gap in gaps if gap > 0) / D + 0 * z.sum()
    )  # last term: a (zero) gradient when no channel is below 1


def off_diagonal(z: Tensor) -> Tensor:
    """c(Z): sum of squared covariances of different channels, divided by D."""
    D = z.shape[1]
    return sum(covariance(z, i, j) ** 2 for i in range(D) for j in range(D) if i != j) / D


def reference(z1: Tensor, z2: Tensor) -> Tensor:
    """Eq. 6 with weights 25, 25 and 1, for z1, z2 (B, D); a scalar."""
    return SIM * invariance(z1, z2) + VAR * (hinge(z1) + hinge(z2)) + COV * (off_diagonal(z1) + off_diagonal(z2))


COMMON = {
    "sample": sample,
    "learns": ("z1", "z2"),
    "split": {"z1": 0, "z2": 0},
}
Case(
    name="vicreg",
    source="VICReg, arXiv:2105.04906, eq. 6",
    equation="25 s(Z1, Z2) + 25 [v(Z1) + v(Z2)] + [c(Z1) + c(Z2)]",
    loss=vicreg,
    reference=reference,
    **COMMON,
)
Case(
    name="vicreg_terms, invariance",
    source="VICReg, arXiv:2105.04906, algorithm 1",
    equation="s = mean over images and channels of (z1 - z2)^2",
    loss=lambda z1, z2: vicreg_terms(z1, z2).invariance,
    reference=invariance,
    **COMMON,
)
Case(
    name="vicreg_terms, variance",
    source="VICReg, arXiv:2105.04906, eq. 1 and 2",
    equation="v(Z1) + v(Z2), v(Z) = mean over j of max(0, 1 - sqrt(Var(Z_j) + 1e-4))",
    loss=lambda z1, z2: vicreg_terms(z1, z2).variance,
    reference=lambda z1, z2: hinge(z1) + hinge(z2),
    **COMMON,
)
Case(
    name="vicreg_terms, covariance",
    source="VICReg, arXiv:2105.04906, eq. 3 and 4",
    equation="c(Z1) + c(Z2), c(Z) = 1/D sum_{i != j} Cov(Z)_ij^2",
    loss=lambda z1, z2: vicreg_terms(z1, z2).covariance,
    reference=lambda z1, z2: off_diagonal(z1) + off_diagonal(z2),
    **COMMON,
)
