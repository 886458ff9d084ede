"""Prototypes: learnt directions that embeddings are compared with (SwAV, DINO)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Prototypes(nn.Linear):
    """SwAV's prototypes, `number` directions in `dim` channels: z (B, dim) of norm 1 -> cosines (B, number)."""

    def __init__(self, dim: int, number: int):
        super().__init__(dim, number, bias=False)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Scale each prototype to norm 1, without gradient; SwAV does so before each forward."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


class CosinePrototypes(nn.Module):
    """DINO's last layer, arXiv:2104.14294, sec. 3.2: z (B, dim) of any norm -> logits (B, number).

    z and the prototypes are normalised in the forward, so that the gradient passes through the normalisation. As in the
    authors' code (weight normalisation of a plain nn.Linear) the stored rows begin with norms near 1/sqrt(3), and only
    the forward normalises them. Under Adam, whose steps do not depend on the scale of the gradient, a row of norm n
    turns 1/n times as fast, so rows of norm 1 would learn 1.7 times more slowly.

    Args:
        dim: channels, D.
        number: number of prototypes, K.
        learn_norm: learn a factor for each prototype (weight normalisation); without it all have norm 1, as in DINO for
            ViTs.
    """

    def __init__(self, dim: int, number: int, learn_norm: bool = False):
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(dim, number, bias=False).weight.detach())  # uniform, +-1/sqrt(dim)
        self.factor = nn.Parameter(torch.ones(number, 1)) if learn_norm else None

    def forward(self, z: Tensor) -> Tensor:
        """Logits (B, K) of embeddings (B, D)."""
        weight = F.normalize(self.weight, dim=1)  # (K, D)
        return F.linear(F.normalize(z, dim=1), weight if self.factor is None else weight * self.factor)
