"""Prototypes: directions that embeddings are compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Linear):
    """K directions in D channels; z (B, D) of norm 1 -> cosines (B, K)."""

    def __init__(self, dim: int, number: int):
        super().__init__(dim, number, bias=False)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Give each prototype the norm 1, outside the gradient (SwAV calls it before each forward)."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


class CosinePrototypes(nn.Module):
    """DINO's last layer, arXiv:2104.14294, sec. 3.2: z (B, D) of any norm -> logits (B, K), z and prototypes brought to
    norm 1 within the gradient.

    learn_norm: times a learnt factor for each prototype (weight normalisation); DINO leaves it at 1 for ViTs.
    """

    def __init__(self, dim: int, number: int, learn_norm: bool = False):
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(number, dim), dim=1))
        self.factor = nn.Parameter(torch.ones(number, 1)) if learn_norm else None

    def forward(self, z: Tensor) -> Tensor:
        weight = F.normalize(self.weight, dim=1)  # (K, D)
        return F.linear(F.normalize(z, dim=1), weight if self.factor is None else weight * self.factor)
