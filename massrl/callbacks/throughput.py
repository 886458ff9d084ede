"""Throughput: images per second."""

from __future__ import annotations

import time
from typing import Any

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl


class Throughput(pl.Callback):
    """Log `images_per_s`: images (not views) per second of all processes, loading and training together, smoothed.

    The first `skip` steps of a run, in which code is compiled, validation, and the pauses between epochs do not count.

    Args:
        smoothing: weight of the earlier steps in the exponential moving average, from 0 to below 1.
        skip: steps at the start of a run that do not count.
    """

    def __init__(self, smoothing: float = 0.95, skip: int = 3):
        self.smoothing, self.skip = smoothing, skip
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        self.steps, self.images, self.seconds = 0, 0.0, 0.0
        self.last: float | None = None

    def on_train_epoch_start(self, *_: Any) -> None:
        self.last = None

    def on_validation_end(self, *_: Any) -> None:
        self.last = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        now, before = time.perf_counter(), self.last
        self.last, self.steps = now, self.steps + 1
        if before is None or self.steps <= self.skip:
            return
        # Images and seconds are smoothed alike, and then divided: slow steps count by how long they took.
        self.images = self.smoothing * self.images + len(batch) * trainer.world_size
        self.seconds = self.smoothing * self.seconds + now - before
        pl_module.log("images_per_s", self.images / self.seconds, prog_bar=True, batch_size=1)
