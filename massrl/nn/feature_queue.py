"""FeatureQueue: embeddings of past batches, first in, first out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.errors import ConfigError


class FeatureQueue(nn.Module):
    """The last `size` embeddings of `dim` channels, in a ring buffer that is part of the checkpoint.

    Args:
        size: embeddings that are kept, Q; a ConfigError below 1.
        dim: channels, D.
        random: start from unit vectors of random direction, the same on every process (MoCo, NNCLR). False starts from
            zeros, and the caller waits until `full` (SwAV).
        seed: of the random start.
    """

    ring: Tensor  # (Q, D)
    pushed: Tensor  # () int64
    equal_on_ranks = ("ring", "pushed")  # of the seed, and of embeddings of all processes

    def __init__(self, size: int, dim: int, random: bool = True, seed: int = 0):
        super().__init__()
        if size < 1:
            raise ConfigError(f"queue_size is {size}; a queue holds at least one embedding")
        generator = torch.Generator().manual_seed(seed)
        start = F.normalize(torch.randn(size, dim, generator=generator), dim=1) if random else torch.zeros(size, dim)
        self.register_buffer("ring", start)
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.ring)

    @property
    def full(self) -> bool:
        """Whether at least Q embeddings have been pushed."""
        return int(self.pushed) >= len(self)

    def rows(self) -> Tensor:
        """A copy (Q, D) of the embeddings: `push` writes in place, and backward needs what the loss has read."""
        return self.ring.clone()

    @torch.no_grad()
    def push(self, z: Tensor) -> None:
        """Replace the oldest rows by z (N, D), any N; with several processes z must hold the rows of all of them."""
        z = z.detach()[-len(self) :].to(self.ring.dtype)
        at = (self.pushed + torch.arange(len(z), device=z.device)) % len(self)
        self.ring[at] = z
        self.pushed += len(z)

    def extra_repr(self) -> str:
        return f"size={len(self)}, dim={self.ring.shape[1]}"
