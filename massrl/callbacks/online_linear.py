"""Online linear probe: a linear classifier that is trained on the features while the method trains."""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from massrl.distributed import average_gradients


class OnlineLinear(pl.Callback):
    """Log `linear`, the running accuracy in 0..1 of a linear classifier on standardised, detached features.

    Each batch is classified before it is learnt from. Labels never reach the encoder. The classifier has its own
    optimiser (AdamW), and both are in the checkpoint; with another number of classes it starts again from zeros. Data
    without labels turn it off, which is logged once.

    Args:
        classes: number of classes; None counts them in the training file, and raises ConfigError if there is none.
        lr: learning rate.
        window: steps over which the accuracy is averaged.
    """

    def __init__(self, classes: int | None = None, lr: float = 1e-3, window: int = 50):
        self.classes, self.lr = classes, lr
        self.hits: deque[Tensor] = deque(maxlen=window)
        self.probe: nn.Sequential | None = None
        self.restored: dict[str, Any] | None = None
        self.off = False

    def on_fit_start(self, *_: Any) -> None:
        self.off = False
        self.hits.clear()

    def build(self, width: int, classes: int, device: torch.device) -> None:
        """Make the classifier (B, width) -> (B, classes) and its optimiser, or restore those of a checkpoint."""
        # Zeros: the problem is convex, and random numbers would change those of the method's run.
        linear = nn.Linear(width, classes, device="meta").to_empty(device=device)
        nn.init.zeros_(linear.weight), nn.init.zeros_(linear.bias)
        self.probe = nn.Sequential(nn.BatchNorm1d(width, affine=False), linear).to(device)
        self.optimizer = torch.optim.AdamW(self.probe.parameters(), lr=self.lr, weight_decay=0.0)
        saved, self.restored = self.restored, None
        if saved and (before := len(saved["probe"]["1.weight"])) != classes:
            pl.utilities.rank_zero_info(
                f"the online linear probe begins anew: {before} classes in the checkpoint, {classes} here"
            )
        elif saved:
            self.probe.load_state_dict(saved["probe"])
            self.optimizer.load_state_dict(saved["optimizer"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        known = batch.labels >= 0
        if self.off or known.sum() < 2:  # BatchNorm needs two
            if not self.off and self.probe is None and not known.any():
                self.off = True
                pl.utilities.rank_zero_info("no labels: the online linear probe is off")
            return
        features, labels = outputs["features"][known].float(), batch.labels[known]
        if self.probe is None:
            self.build(features.shape[1], self.classes or _classes(trainer), features.device)
        assert self.probe is not None  # build makes it
        with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
            logits = self.probe(features)  # (B, classes)
            loss = F.cross_entropy(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        average_gradients(self.probe)
        self.optimizer.step()
        self.hits.append((logits.argmax(1) == labels).float().mean())
        pl_module.log(
            "linear",
            torch.stack(tuple(self.hits)).mean(),
            prog_bar=True,
            sync_dist=trainer.world_size > 1,
            batch_size=1,
        )

    def state_dict(self) -> dict[str, Any]:
        if self.probe is None:
            return {}
        return {"probe": self.probe.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.probe, self.restored = None, state or None


def _classes(trainer: pl.Trainer) -> int:
    reader = getattr(trainer.train_dataloader, "reader", None)
    if reader is None:
        raise ConfigError("OnlineLinear: this loader does not say how many classes there are; set classes")
    return int(reader.column("label").max()) + 1
