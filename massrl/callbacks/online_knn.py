"""Online kNN: classify each training batch by the nearest of the images seen lately."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from massrl.distributed import mean_over_ranks, share_over_ranks
from massrl.nn import knn_vote


class OnlineKNN(pl.Callback):
    """Log `knn`, the running accuracy in 0..1 of kNN on the features of augmented training images.

    Each batch is classified by a ring buffer of recent samples, other views of the same image left out, and then
    written into it. The encoder changes while the buffer fills, so `knn` follows `massrl knn` but does not equal it.
    Labels train nothing; data without labels turn it off, which is logged once. Each process has a buffer of its own
    samples, which goes on in a run that is continued by as many processes.

    Args:
        bank_size: samples in the ring buffer.
        k: neighbours.
        tau: temperature of their votes.
        window: steps over which the accuracy is averaged.
        every_n_steps: steps from one computation to the next.
    """

    def __init__(self, bank_size: int = 4096, k: int = 20, tau: float = 0.07, window: int = 50, every_n_steps: int = 1):
        for name, value in {"bank_size": bank_size, "k": k, "window": window, "every_n_steps": every_n_steps}.items():
            if value < 1:
                raise ConfigError(f"OnlineKNN: {name} is {value}; it must be 1 or more")
        if not tau > 0 or bank_size <= k:
            raise ConfigError(
                f"OnlineKNN: tau is {tau}, bank_size {bank_size}, k {k}; they need tau > 0, bank_size > k"
            )
        self.bank_size, self.k, self.tau, self.every_n_steps = bank_size, k, tau, every_n_steps
        self.hits: deque[Tensor] = deque(maxlen=window)
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        self.features: Tensor | None = None  # (bank_size, F), normalised only when used
        self.filled = self.next = 0
        self.off = False
        self.hits.clear()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if self.off or batch_idx % self.every_n_steps:
            return
        known = batch.labels >= 0
        ready = known.any() & (self.filled > self.k)
        # Means over processes, of which each has labels for some of its images: all take the same way from here.
        labelled, voting = mean_over_ranks(torch.stack([known.any(), ready]).float()).tolist()
        if not labelled:
            self.off = self.features is None
            if self.off:
                pl.utilities.rank_zero_info("no labels: online kNN is off")
            return
        features, labels, index = outputs["features"][known].float(), batch.labels[known], batch.index[known]
        if voting:
            right = self.predict(features, index) == labels if ready else labels.new_zeros(0, dtype=torch.bool)
            self.hits.append(share_over_ranks(right))
            pl_module.log(
                "knn",
                torch.stack(tuple(self.hits)).mean(),
                prog_bar=True,
                sync_dist=trainer.world_size > 1,
                batch_size=1,
            )
        self.insert(features, labels, index)  # also none of them: whether there is a ring is the same on all processes

    def process_state(self) -> dict[str, Any]:
        """The ring and the window of accuracies, for a run's checkpoints."""
        if self.features is None:
            return {}
        ring = {"features": self.features, "labels": self.labels, "index": self.index}
        return {**ring, "filled": self.filled, "next": self.next, "hits": list(self.hits)}

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Continue from what `process_state` has returned; with another `bank_size` the ring begins anew."""
        if not state or len(state["labels"]) != self.bank_size:
            return
        self.features, self.labels, self.index = state["features"], state["labels"], state["index"]
        self.filled, self.next = state["filled"], state["next"]
        self.hits.extend(state["hits"])

    def predict(self, features: Tensor, index: Tensor) -> Tensor:
        """The class (B,) that the k samples of the ring nearest to `features` (B, F) vote for.

        index (B,): rows of the images in the file; samples of the same row have no vote.
        """
        assert self.features is not None, "insert makes the ring"
        bank, labels = self.features[: self.filled], self.labels[: self.filled]
        same = index[:, None] == self.index[None, : self.filled]  # (B, bank)
        return knn_vote(features, bank, labels, same, self.k, self.tau)

    @torch.no_grad()
    def insert(self, features: Tensor, labels: Tensor, index: Tensor) -> None:
        """Write features (B, F), labels (B,) and index (B,) into the ring, over the oldest samples."""
        if self.features is None:
            self.features = features.new_zeros(self.bank_size, features.shape[1])
            self.labels, self.index = (x.new_full((self.bank_size,), -1) for x in (labels, index))
        n = min(len(features), self.bank_size)
        slots = torch.arange(self.next, self.next + n, device=features.device) % self.bank_size
        for ring, new in ((self.features, features), (self.labels, labels), (self.index, index)):
            ring[slots] = new[-n:]
        self.next = (self.next + n) % self.bank_size
        self.filled = min(self.filled + n, self.bank_size)
