"""Reference of SimSiam's negative cosine: a loop over images."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import negative_cosine


def reference(p: Tensor, z: Tensor) -> Tensor:
    """Eq. 1 for p, z (B, D), mean over images; a scalar."""
    each = [-(p[b] @ z[b]) / (p[b].norm() * z[b].norm()) for b in range(len(p))]
    return sum(each) / len(each)


Case(
    name="negative_cosine",
    source="SimSiam, arXiv:2011.10566, eq. 1",
    equation="-p.z / (|p| |z|), mean over images",
    sample=lambda g, B, D: {k: torch.randn(B, D, dtype=torch.float64, generator=g) for k in ("p", "z")},
    loss=negative_cosine,
    reference=reference,
    learns=("p", "z"),
    split={"p": 0, "z": 0},
    over_ranks="mean",
)
