"""Prototypes: directions that embeddings are compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Prototypes(nn.Linear):
    """K directions in D channels; z (B, D) of norm 1 -> cosines (B, K)."""

    def __init__(self, dim: int, number: int):
        super().__init__(dim, number, bias=False)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Give each prototype the norm 1, outside the gradient (SwAV calls it before each forward)."""
        self.weight.copy_(F.normalize(self.weight, dim=1))
