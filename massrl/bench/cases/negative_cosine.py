"""Negative cosine, one image at a time."""

from __future__ import annotations

from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import negative_cosine, pairwise_cosine_distance


def reference(p: Tensor, z: Tensor) -> Tensor:
    each = [-(p[b] * z[b]).sum() / (p[b].square().sum() * z[b].square().sum()).sqrt() for b in range(len(p))]
    return sum(each) / len(each)


def pairs(p: Tensor, z: Tensor) -> Tensor:
    """Sum over i, j of (1 + 2 i + j) times the distance of view i of p and view j of z."""
    total = 0.0
    for i in range(len(p)):
        for j in range(len(z)):
            for b in range(p.shape[1]):
                one, two = p[i, b] / p[i, b].norm(), z[j, b] / z[j, b].norm()
                total = total + (1 + 2 * i + j) * (one - two).square().sum() / p.shape[1]
    return total


def weighted(p: Tensor, z: Tensor) -> Tensor:
    distance = pairwise_cosine_distance(p, z)
    return sum((1 + 2 * i + j) * distance[i, j] for i in range(len(p)) for j in range(len(z)))


Case(
    name="negative_cosine",
    source="SimSiam, arXiv:2011.10566, eq. 1",
    equation="-cos(p, z), mean over images",
    draw=lambda g, B, D: {"p": normal(g, B, D), "z": normal(g, B, D)},
    loss=negative_cosine,
    reference=reference,
    learns=("p", "z"),
    split={"p": 0, "z": 0},
    over_ranks="mean",
)
Case(
    name="pairwise_cosine_distance",
    source="MASSRL, arXiv:2205.11772; BYOL's eq. 2 between every two views",
    equation="|p_i/|p_i| - z_j/|z_j||^2 for all i, j, mean over images; here summed with weights",
    draw=lambda g, B, D: {"p": normal(g, 3, B, D), "z": normal(g, 2, B, D)},
    loss=weighted,
    reference=pairs,
    learns=("p", "z"),
    split={"p": 1, "z": 1},
    over_ranks="mean",
)
