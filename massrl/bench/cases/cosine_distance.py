"""The distance of BYOL, one image at a time."""

from __future__ import annotations

from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import cosine_distance


def reference(p: Tensor, z: Tensor) -> Tensor:
    each = [(p[b] / p[b].norm() - z[b] / z[b].norm()).square().sum() for b in range(len(p))]
    return sum(each) / len(each)


Case(
    name="cosine_distance",
    source="BYOL, arXiv:2006.07733, eq. 2",
    equation="|p/|p| - z/|z||^2, mean over images",
    draw=lambda g, B, D: {k: normal(g, B, D) for k in ("p", "z")},
    loss=cosine_distance,
    reference=reference,
    learns=("p", "z"),
    split={"p": 0, "z": 0},
    over_ranks="mean",
)
