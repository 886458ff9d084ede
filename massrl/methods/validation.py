"""What is measured on validation images: the method's loss on their views, and kNN within them.

`val_loss` is `method.loss` in eval mode, so that queues, centres, targets and running statistics stay as they are, on
augmented views of the validation images; the mean over batches as large as the first one, since most losses depend on
how many images they compare. `val_knn` is the share of validation images that are of the class which their 20 nearest
other validation images vote for: features of the encoder, of the view without augmentation where there is one. It needs
no pass over the training images and no state of a training, so that `trainer.validate` alone gives the same number.

Views: a Method asks its data module for two loaders of the validation images (`Method.val_views`), one with the views
of training, in random order, the same in every epoch, for the loss, and one with the view of evaluation for kNN. From
any other loader, batches that have the views the loss needs give both, and others kNN alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from massrl.distributed import gather_rows, mean_over_ranks, world_size
from massrl.methods.checks import check_floats, check_type
from massrl.nn import knn_vote

if TYPE_CHECKING:
    from massrl.methods.base import Method

K, TAU = 20, 0.07  # neighbours and temperature of their votes, as the protocol knn
MOST = 16384  # rows that take part in kNN: evenly spaced ones of a larger set, so that it stays cheap
CHUNK = 1024  # rows that are compared with all others at once


class Logging(NamedTuple):
    """How `Method.log` names and weighs what a loss logs in validation."""

    prefix: str
    images: int


@dataclass
class Validation:
    """What one pass over the validation images has gathered."""

    stage: str = "val"  # prefix of the metrics: val or test
    size: int = 0  # valid images in the first batch
    features: list[Tensor] = field(default_factory=list)  # (B, F) float32 each
    labels: list[Tensor] = field(default_factory=list)  # (B,) int64 each, -1 for none
    told: set[str] = field(default_factory=set)  # what was said once

    def restart(self, stage: str) -> None:
        """Begin a pass; what was said before is not said again."""
        self.stage, self.size = stage, 0
        self._clear()

    def step(self, method: Method, batch: Batch, dataloader_idx: int, loaders: int) -> dict[str, Tensor] | None:
        """Log the loss of a batch of the first loader; keep the features of a batch of the last one, and return them.

        Returns {"features": (B, F) float32, "labels": (B,) int64, -1 for none and for repeats that fill a batch}; these
        features are by the online network, as those of a training step.
        """
        check_type(batch, "validation" if self.stage == "val" else self.stage)
        check_floats(batch)
        features = self._loss(method, batch) if dataloader_idx == 0 else None
        if dataloader_idx != loaders - 1:
            return None
        features = (method.encoder(batch.views[0]) if features is None else features).float()  # (B, F)
        labels = torch.where(batch.valid, batch.labels, -1)
        self.features.append(features)
        self.labels.append(labels)
        online = features if method.evaluated == "online" else method.backbone(batch.views[0]).float()
        return {"features": online, "labels": labels}

    def _loss(self, method: Method, batch: Batch) -> Tensor | None:
        """Log the loss of a batch, unless it is smaller than the first one or the method cannot take it.

        Returns the encoder's features (B, F) of the first view of all B images, if the loss has computed them.
        """
        valid = int(mean_over_ranks(batch.valid.sum().float()))  # rounded down: less than B where any process has less
        self.size = self.size or valid
        whole = valid == len(batch)
        if valid < max(2, self.size) or not (whole or world_size() == 1):
            return None
        if reason := _unfit(method, batch):
            if self.stage == "val":  # nobody asks for a test_loss
                self._tell(f"no val_loss: {reason}")
            return None
        method._logging, method._features = Logging(f"{self.stage}_", valid), None
        try:
            with pl.utilities.seed.isolate_rng():
                method.log("loss", method.loss(batch if whole else rows(batch, batch.valid)), prog_bar=True)
        finally:
            method._logging = None
        return method._features if whole and method.evaluated == "online" else None

    def end(self, method: Method) -> None:
        """Log the kNN accuracy of the features that were kept; without labels it is left out, which is said once."""
        if not self.features:
            return
        features, labels = (gather_rows(torch.cat(parts)) for parts in (self.features, self.labels))
        self._clear()
        known = labels >= 0
        if int(known.sum()) < 2:
            self._tell(f"no {self.stage}_knn: the images have no labels")
            return
        accuracy = leave_one_out(features[known], labels[known])
        method.log(f"{self.stage}_knn", accuracy, prog_bar=True, sync_dist=world_size() > 1, batch_size=1)

    def _clear(self) -> None:
        self.features.clear()
        self.labels.clear()

    def _tell(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            pl.utilities.rank_zero_info(text)


def _unfit(method: Method, batch: Batch) -> str | None:
    """Why a method has no loss for this batch of validation images; None where it has one."""
    try:
        method.check(batch.view_set or batch.layout)
    except ConfigError as error:
        return str(error)
    if method.needs.labels and float(mean_over_ranks((batch.labels < 0).any().float())) > 0:
        return f"{type(method).__name__} needs labels, and validation images have none"
    return None


@torch.no_grad()
def leave_one_out(features: Tensor, labels: Tensor) -> Tensor:
    """Share in 0..1 of rows whose class is the vote of their K nearest other rows.

    features: (N, F) float32; labels: (N,) int64, from 0 on. Of more than MOST rows evenly spaced ones take part.
    """
    if len(features) > MOST:
        chosen = torch.linspace(0, len(features) - 1, MOST, device=features.device, dtype=torch.float64).long()
        features, labels = features[chosen], labels[chosen]
    every = torch.arange(len(features), device=features.device)
    right = features.new_zeros(())
    for mine in every.split(CHUNK):
        itself = mine[:, None] == every  # (m, N)
        right += (knn_vote(features[mine], features, labels, itself, K, TAU) == labels[mine]).sum()
    return right / len(features)


def predict(method: Method, batch: Batch) -> dict[str, Tensor]:
    """What `predict_step` returns of a batch of B images, n of which are valid and not repeats that fill its end.

    features (n, F) float32, of the first view; labels (n,) int64, -1 for none; index (n,) int64, the row in the file.
    """
    check_floats(batch)
    features, keep = method.encoder(batch.views[0]).float(), batch.valid
    return {"features": features[keep], "labels": batch.labels[keep], "index": batch.index[keep]}


def rows(batch: Batch, keep: Tensor) -> Batch:
    """The images of a batch for which `keep` (B,) bool is True; without `fields` and `plan`, which no loss reads."""
    return replace(
        batch,
        blocks=[block[:, keep] for block in batch.blocks],
        labels=batch.labels[keep],
        index=batch.index[keep],
        valid=batch.valid[keep],
        soft_labels=None if batch.soft_labels is None else batch.soft_labels[keep],
        fields={},
        plan=None,
    )
