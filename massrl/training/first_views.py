"""RUN/views.png: the views of the first batch, as the network gets them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import one_line

IMAGES = 4  # of the batch that are shown
log = logging.getLogger(__name__)


class FirstViews(pl.Callback):
    """After the first step of a run, write a picture of the views that it took, back in pixels.

    A run that goes on keeps its picture. One that cannot be made, as on a full disk, is a line, and the run goes on.

    Args:
        path: the PNG file.
        mean, std: with which the views are normalised, of pixels in 0..1.
    """

    def __init__(self, path: Path, mean: Any, std: Any):
        self.path, self.mean, self.std = path, mean, std
        self.tried = False

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if self.tried or not trainer.is_global_zero:
            return
        self.tried = True
        if self.path.exists():
            return
        try:
            from massrl.report import style  # matplotlib takes half a second to import
            from massrl.report.plots import views_grid

            style.save(self.path, lambda: views_grid(batch, self.mean, self.std, images=IMAGES), both=False)
        except Exception as error:  # of any library that renders or writes it
            log.warning("no picture of the first views: %s", one_line(str(error))[:300] or type(error).__name__)
