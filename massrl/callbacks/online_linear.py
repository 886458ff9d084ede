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
from data_loading.loading.datamodule import BetonDataModule
from data_loading.sources.index import read_index
from massrl.distributed import average_gradients, mean_over_ranks, share_over_ranks
from massrl.nn import evaluating

MOST_CLASSES = 2**16  # that the probe counts by itself; more are numbers of images, and their outputs fill the memory


class OnlineLinear(pl.Callback):
    """Log `linear`, the running accuracy in 0..1 of a linear classifier on standardised, detached features.

    Each batch is classified before it is learnt from. Labels never reach the encoder. The classifier has its own
    optimiser (AdamW), and both are in the checkpoint; with another number of classes it starts again from zeros. Data
    without labels turn it off, which is logged once.

    Where there are validation images with labels, `val_linear` is the share of them that the classifier, which is not
    trained on them, classifies correctly: features of the online network in eval mode, of the view without augmentation
    where there is one. `test_linear` is its share under `trainer.test`. For `trainer.validate` and `test` alone the
    classifier comes from the checkpoint.

    Args:
        classes: number of classes; None counts them in the training file, and raises ConfigError if there is none. Of
            more than 65,536 counted ones the probe is off, which is logged once.
        lr: learning rate.
        window: steps over which the accuracy is averaged.
    """

    def __init__(self, classes: int | None = None, lr: float = 1e-3, window: int = 50):
        self.classes, self.lr = classes, lr
        self.hits: deque[Tensor] = deque(maxlen=window)
        self.probe: nn.Sequential | None = None
        self.restored: dict[str, Any] | None = None
        self.off = ""  # why there is no classifier, once that is known
        self.right: Tensor | None = None  # (2,): of one pass over validation images, how many were right, and of all
        self.told: set[str] = set()  # what was said once

    def on_fit_start(self, *_: Any) -> None:
        self.off = ""
        self.hits.clear()
        self.told.clear()

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
            self.hits.extend(hit.to(device) for hit in saved.get("hits", ()))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if self.off:
            return
        known = batch.labels >= 0
        # Means over processes, of which each has labels for some of its images: all take the same way from here.
        # BatchNorm needs two.
        labelled, able = mean_over_ranks(torch.stack([known.any(), known.sum() >= 2]).float()).tolist()
        if not able:
            if self.probe is None and not labelled:
                self._turn_off("training has no labels", "no labels: the online linear probe is off")
            return
        features, labels = outputs["features"][known].float(), batch.labels[known]
        if self.probe is None:
            classes = self.classes or _classes(trainer)
            if self.classes is None and classes > MOST_CLASSES:
                text = f"{classes} classes, more than {MOST_CLASSES}"
                self._turn_off(f"training has {text}", f"{text}: the online linear probe is off")
                return
            self.build(features.shape[1], classes, features.device)
        self.hits.append(share_over_ranks(self._learn(features, labels, able)))
        pl_module.log(
            "linear",
            torch.stack(tuple(self.hits)).mean(),
            prog_bar=True,
            sync_dist=trainer.world_size > 1,
            batch_size=1,
        )

    def _learn(self, features: Tensor, labels: Tensor, able: float) -> Tensor:
        """Classify, then learn; returns which images (N,) were right, none on a process that has fewer than two.

        able: share of the processes that have two or more; the others join the step with gradients of zero.
        """
        assert self.probe is not None, "build makes it"
        self.optimizer.zero_grad()
        right = labels.new_zeros(0, dtype=torch.bool)
        if len(labels) >= 2:
            with torch.enable_grad(), torch.autocast(features.device.type, enabled=False):
                logits = self.probe(features)  # (N, classes)
                loss = F.cross_entropy(logits, labels) / able  # the mean over the processes that have labels
            loss.backward()
            right = logits.argmax(1) == labels
        else:
            for p in self.probe.parameters():
                p.grad = torch.zeros_like(p)
        average_gradients(self.probe)
        self.optimizer.step()
        return right

    def _turn_off(self, why: str, text: str) -> None:
        self.off = why
        pl.utilities.rank_zero_info(text)

    # ---- clean views of images that it is not trained on

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.right = None

    @torch.no_grad()
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, dict) or "features" not in outputs:  # of views for the loss, or of another module
            return
        features, labels = outputs["features"], outputs["labels"]
        if self.probe is None and self.restored:
            classes, width = self.restored["probe"]["1.weight"].shape
            self.build(width, classes, features.device)
        if self.probe is None:
            return
        known = labels >= 0
        with evaluating(self.probe), torch.autocast(features.device.type, enabled=False):
            guess = self.probe(features.float()).argmax(1)
        found = torch.stack([(guess == labels)[known].sum(), known.sum()])
        self.right = found if self.right is None else self.right + found

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_accuracy("val", trainer, pl_module)

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log_accuracy("test", trainer, pl_module)

    def _log_accuracy(self, stage: str, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the share of the images of one pass that were named correctly; say once why there is none."""
        found, self.right = self.right, None
        if trainer.sanity_checking:
            return
        if found is None:  # on this process
            found = torch.zeros(2, device=pl_module.device)
        right, count = mean_over_ranks(found.float())  # float32: whole numbers up to 16 million
        reason = _other_classes(trainer, stage)
        if reason is None and count > 0:
            many = trainer.world_size > 1
            pl_module.log(f"{stage}_linear", right / count, prog_bar=True, sync_dist=many, batch_size=1)
            return
        if reason is None:
            none = f"no classifier, as {self.off or 'training has no labels'}"
            reason = none if self.probe is None else "the images have no labels"
        if (text := f"no {stage}_linear: {reason}") not in self.told:
            self.told.add(text)
            pl.utilities.rank_zero_info(text)

    def state_dict(self) -> dict[str, Any]:
        if self.probe is None:
            return {}
        state = {"probe": self.probe.state_dict(), "optimizer": self.optimizer.state_dict()}
        return {**state, "hits": list(self.hits)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.probe, self.restored = None, state or None


def _other_classes(trainer: pl.Trainer, stage: str) -> str | None:
    """Why labels of the `stage` images are not those of training: their folders have other classes; else None."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, BetonDataModule):
        return None
    paths = (data.train, getattr(data, stage))
    train, other = ((read_index(data.file(path)) or {}).get("classes") if path else None for path in paths)
    if train is None or other is None or train == other:
        return None
    odd = sorted(set(train) ^ set(other))
    return f"training and {stage} images have other class folders: {', '.join(odd[:5])} in one only"


def _classes(trainer: pl.Trainer) -> int:
    reader = getattr(trainer.train_dataloader, "reader", None)
    if reader is None:
        raise ConfigError("OnlineLinear: this loader does not say how many classes there are; set classes")
    return int(reader.column("label").max()) + 1
