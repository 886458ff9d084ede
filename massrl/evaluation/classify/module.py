"""Classifier: the LightningModule of every protocol that trains a classifier by gradient descent."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from data_loading.ops.cutmix import CutMix
from data_loading.ops.mixup import Mixup
from massrl.distributed import mean_over_ranks
from massrl.evaluation.classify import rates
from massrl.evaluation.classify.training import Training
from massrl.losses.precision import full_precision
from massrl.methods.sizes import check_sizes
from massrl.methods.validation import rows
from massrl.optim import length_of

TOP = 5  # accuracy of the five best classes, where there are more than five
# What Lightning warns of although it is meant: one measurement after the last epoch, and a frozen encoder.
MEANT = (
    r"You defined a `validation_step` but have no `val_dataloader`",
    r"Found \d+ module\(s\) in eval mode at the start of training",
)
SAID_EVERY = 10.0  # seconds between lines of progress, where the output is no terminal
cross_entropy = full_precision(F.cross_entropy)


class Diverged(ConfigError):
    """The loss is not finite any more: the learning rate is too high."""


class Classifier(pl.LightningModule):
    """An encoder and one or more heads on it, trained by cross-entropy on batches of one view.

    A frozen encoder stays in eval mode, without gradients: neither its weights nor BatchNorm's statistics change.
    On a frozen encoder several heads train beside each other, each with its own learning rate.

    Args:
        body: images (B, 3, S, S) -> features (B, F).
        heads: features (B, F) -> logits (B, classes), each.
        training: the protocol.
        classes: number of classes.
        factors: on the learning rates, one for each head.
        images: per optimiser step, of all processes together, by which learning rates are scaled.
        seed: of mixup and cutmix.
    """

    def __init__(
        self,
        body: nn.Module,
        heads: Sequence[nn.Module],
        training: Training,
        classes: int,
        factors: Sequence[float] = (1.0,),
        images: int = 256,
        seed: int = 0,
    ):
        super().__init__()
        if len(heads) > 1 and not training.frozen:
            raise ConfigError(f"{len(heads)} heads cannot share an encoder that is trained")
        self.body, self.heads = body, nn.ModuleList(heads)
        self.protocol, self.classes, self.images, self.mixing_seed = training, classes, images, seed
        self.factors = list(factors)
        self.width = int(body.num_features)  # type: ignore[arg-type]
        # name -> a metric for each head
        self.metrics = nn.ModuleDict({"top1": nn.ModuleList([_accuracy(classes, 1) for _ in heads])})
        if classes > TOP:
            self.metrics["top5"] = nn.ModuleList([_accuracy(classes, TOP) for _ in heads])
        self.history: list[
            dict[str, list[float]]
        ] = []  # of each pass over test images: {"top1": [of each head], "top5"}
        self.losses: list[float] = []  # mean of each epoch
        self._sum: Tensor | None = None
        self._batches = 0
        self._length = (1, 1)  # optimiser steps of the run, and of an epoch
        self._checked = False
        self._said = time.perf_counter()
        self.train()

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.protocol.frozen:
            self.body.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, S, S) -> logits (H, B, classes) of the H heads."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.protocol.frozen):
            h = self.body(x)  # (B, F)
        return torch.stack([head(h) for head in self.heads])

    # ---- training

    def configure_callbacks(self) -> list[pl.Callback]:
        for message in MEANT:
            warnings.filterwarnings("ignore", message=message)
        return []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        groups = rates.groups(self.protocol, self.body, list(self.heads), self.factors)
        return rates.optimizer(self.protocol, groups, self.images)

    def on_train_start(self) -> None:
        self._length = length_of(self.trainer)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if not self._checked:
            check_sizes(self.body, batch, self.width)
            self._checked = True

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch_idx + 1 == self.trainer.num_training_batches:  # only the last one may repeat an image to fill it
            batch = rows(batch, batch.valid)
        batch = self._mixed(batch)
        target = batch.labels if batch.soft_labels is None else batch.soft_labels
        logits = self(batch.views[0])  # (H, B, classes)
        losses = [cross_entropy(one, target, label_smoothing=self.protocol.smoothing) for one in logits]
        loss = torch.stack(losses).sum()  # heads share no trained weights: each has its own gradient
        self._sum = loss.detach() + (0 if self._sum is None else self._sum)
        self._batches += 1
        return loss

    def _mixed(self, batch: Batch) -> Batch:
        """The batch, mixed by mixup or cutmix where the protocol has them, one weight for all images as in timm."""
        ops: list[Any] = [Mixup(self.protocol.mixup, same=True)] if self.protocol.mixup else []
        ops += [CutMix(self.protocol.cutmix, same=True)] if self.protocol.cutmix else []
        if not ops:
            return batch
        which = torch.Generator().manual_seed(self.mixing_seed * 2**20 + self.trainer.global_step)
        op = ops[int(torch.randint(len(ops), (1,), generator=which))]
        return batch.mix(op, self.classes, self.mixing_seed, self.trainer.current_epoch)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        rates.set_rates(optimizer, rates.factor_of_step(self.protocol, self.trainer.global_step, *self._length))
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def on_train_epoch_end(self) -> None:
        assert self._sum is not None, "an epoch without a batch"
        self.losses.append(float(mean_over_ranks(self._sum / self._batches)))  # all processes judge alike
        self._sum, self._batches = None, 0
        epoch = self.trainer.current_epoch + 1
        if len(self.heads) == 1 and not math.isfinite(self.losses[-1]):
            raise Diverged(f"the loss is {self.losses[-1]} in epoch {epoch}: training diverged; lower --base_lr")
        late = time.perf_counter() - self._said >= SAID_EVERY
        if late and self.trainer.is_global_zero and not sys.stderr.isatty():
            self._said = time.perf_counter()
            print(f"epoch {epoch}/{self.trainer.max_epochs}  loss {self.losses[-1]:.4f}", file=sys.stderr, flush=True)

    # ---- measuring

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.views[0]).float()  # (H, B, classes)
        labels = batch.labels.where(batch.valid, -1)  # ignored; of several processes one may have no image of its own
        # A head that has diverged is wrong, not an error: the true class is its last choice.
        last = -F.one_hot(labels.clip(min=0), logits.shape[2]).float()
        logits = torch.where(logits.isfinite().all(2, keepdim=True), logits, last)
        for metrics in self._metrics().values():
            for metric, one in zip(metrics, logits, strict=True):
                metric.update(one, labels)

    def on_validation_epoch_end(self) -> None:
        # torchmetrics gives float32: seven digits are what it has
        found = {
            name: [round(float(metric.compute()), 7) for metric in metrics] for name, metrics in self._metrics().items()
        }
        self.history.append(found)
        for metric in (metric for metrics in self._metrics().values() for metric in metrics):
            metric.reset()

    def _metrics(self) -> dict[str, list[Metric]]:
        return {name: cast("list[Metric]", list(cast(nn.ModuleList, some))) for name, some in self.metrics.items()}


def _accuracy(classes: int, top_k: int) -> MulticlassAccuracy:
    return MulticlassAccuracy(classes, top_k=top_k, average="micro", ignore_index=-1, validate_args=False)
