"""Online kNN: are the nearest of the images seen lately of the same class?"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from massrl.nn import knn_vote


class OnlineKNN(pl.Callback):
    """Log `knn`, a running accuracy of kNN on the features of augmented training images; labels train nothing.

    Each batch is predicted from a ring of recent samples, other views of the same image left out, and then put into it.
    The encoder changes while the ring fills, so this follows `massrl knn` and does not equal it. Data without labels
    turn it off, which is said once. Each process has its own ring, of its own samples; it is not in checkpoints.

    Args:
        bank_size: samples in the ring.
        k: neighbours.
        tau: temperature of their votes.
        window: steps over which the accuracy is a running mean.
        every_n_steps: how often it is computed.
    """

    def __init__(self, bank_size: int = 4096, k: int = 20, tau: float = 0.07, window: int = 50, every_n_steps: int = 1):
        self.bank_size, self.k, self.tau, self.every_n_steps = bank_size, k, tau, every_n_steps
        self.hits: deque[Tensor] = deque(maxlen=window)
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        self.features: Tensor | None = None  # (bank_size, F), centred and normalised only when used
        self.filled = self.next = 0
        self.off = False
        self.hits.clear()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if self.off or batch_idx % self.every_n_steps:
            return
        known = batch.labels >= 0
        if not known.any():
            self.off = self.features is None
            if self.off:
                pl.utilities.rank_zero_info("no labels: online kNN is off")
            return
        features, labels, index = outputs["features"][known].float(), batch.labels[known], batch.index[known]
        if self.filled > self.k:
            self.hits.append((self.predict(features, index) == labels).float().mean())
            pl_module.log(
                "knn",
                torch.stack(tuple(self.hits)).mean(),
                prog_bar=True,
                sync_dist=trainer.world_size > 1,
                batch_size=1,
            )
        self.insert(features, labels, index)

    def predict(self, features: Tensor, index: Tensor) -> Tensor:
        """The class (B,) that the k most similar samples of the ring vote for, weighted by exp(cosine / tau)."""
        bank, labels = self.features[: self.filled], self.labels[: self.filled]
        same = index[:, None] == self.index[None, : self.filled]  # (B, bank)
        return knn_vote(features, bank, labels, same, self.k, self.tau)

    @torch.no_grad()
    def insert(self, features: Tensor, labels: Tensor, index: Tensor) -> None:
        """Put samples into the ring, over the oldest."""
        if self.features is None:
            self.features = features.new_zeros(self.bank_size, features.shape[1])
            self.labels, self.index = (x.new_full((self.bank_size,), -1) for x in (labels, index))
        n = min(len(features), self.bank_size)
        slots = torch.arange(self.next, self.next + n, device=features.device) % self.bank_size
        for ring, new in ((self.features, features), (self.labels, labels), (self.index, index)):
            ring[slots] = new[-n:]
        self.next = (self.next + n) % self.bank_size
        self.filled = min(self.filled + n, self.bank_size)
