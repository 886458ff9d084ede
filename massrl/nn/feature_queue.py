"""Queue: embeddings of past batches, first in, first out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.errors import ConfigError


class FeatureQueue(nn.Module):
    """The last `size` embeddings of D channels, in a ring; a batch of any size wraps at its end.

    random: start from unit vectors of random direction (MoCo, NNCLR), the same on every process; else from zeros, and
    the caller waits until `full` (SwAV). Its buffers are in the checkpoint.
    """

    def __init__(self, size: int, dim: int, random: bool = True, seed: int = 0):
        super().__init__()
        if size < 1:
            raise ConfigError(f"queue_size is {size}; a queue holds at least one embedding")
        draw = torch.Generator().manual_seed(seed)
        start = F.normalize(torch.randn(size, dim, generator=draw), dim=1) if random else torch.zeros(size, dim)
        self.register_buffer("ring", start)  # (Q, D)
        self.register_buffer("pushed", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.ring)

    @property
    def full(self) -> bool:
        """Whether as many embeddings were pushed as the queue holds."""
        return int(self.pushed) >= len(self)

    def rows(self) -> Tensor:
        """(Q, D): a copy, since `push` writes in place and backward still needs what the loss has read."""
        return self.ring.clone()

    @torch.no_grad()
    def push(self, z: Tensor) -> None:
        """Put z (N, D) in the place of the oldest rows. Under several processes z must be that of all of them."""
        z = z.detach()[-len(self) :].to(self.ring.dtype)
        at = (self.pushed + torch.arange(len(z), device=z.device)) % len(self)
        self.ring[at] = z
        self.pushed += len(z)

    def extra_repr(self) -> str:
        return f"size={len(self)}, dim={self.ring.shape[1]}"
