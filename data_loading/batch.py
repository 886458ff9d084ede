"""Batch: the views of some images and what is known of the images, as a training step gets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from data_loading.config.described import build
from data_loading.errors import ConfigError, ViewError
from data_loading.kernel.rng import checked_seed
from data_loading.ops import OPS, Mixing, mixup
from data_loading.views.plan import Plan
from data_loading.views.view_set import View, ViewSet

UNNAMED = "view"  # the strategy of views for which none is named


@dataclass
class Batch:
    """Views of B images, and what is known of the images.

    blocks: for each view size a tensor (V, B, 3, S, S), normalised floats or uint8; `views` are slices of them.
    labels (B,) int64: -1 where there is none.
    index (B,) int64: the image's row in the file.
    valid (B,) bool: False where an evaluation repeats its last sample to fill the batch, and for a replaced sample.
    view_set: the views that were rendered; None for a batch of `from_views`.
    fields: what else the file stores, as tensors (B, ...), NumPy arrays (B, ...), or lists of B bytes or JSON values.
    plan: the sampled numbers of all augmentations, with Loader(with_plan=True).
    roles: the layout of a batch of `from_views`.
    soft_labels (B, num_classes) float32: set by `mix`.
    """

    blocks: list[Tensor]
    labels: Tensor
    index: Tensor
    valid: Tensor
    view_set: ViewSet | None = None
    fields: dict[str, Tensor | list | np.ndarray] = field(default_factory=dict)
    plan: Plan | None = None
    roles: list[View] = field(default_factory=list)
    soft_labels: Tensor | None = None

    @property
    def views(self) -> list[Tensor]:
        """V tensors (B, 3, S, S) in the view set's order; slices of the blocks, no copy."""
        if self.view_set is None:
            return [view for block in self.blocks for view in block]
        out: dict[int, Tensor] = {}  # number of a view -> its tensor
        for (_, members), block in zip(self.view_set.groups(), self.blocks, strict=True):
            for i, v in enumerate(members):
                out[v] = block[i]
        return [out[v] for v in range(len(self.view_set))]

    @property
    def layout(self) -> list[View]:
        """Name, role, size, crop and strategy of each view, in the order of `views`."""
        return self.view_set.views if self.view_set is not None else self.roles

    @property
    def global_views(self) -> list[Tensor]:
        """The views (B, 3, S, S) of global crops."""
        return [x for x, view in zip(self.views, self.layout, strict=True) if view.role == "global"]

    @property
    def local_views(self) -> list[Tensor]:
        """The views (B, 3, S, S) of local crops; none without multi-crop."""
        return [x for x, view in zip(self.views, self.layout, strict=True) if view.role == "local"]

    def __len__(self) -> int:
        """B, the number of images."""
        return len(self.index)

    def _map(self, move) -> Batch:
        return replace(
            self,
            blocks=[move(block) for block in self.blocks],
            labels=move(self.labels),
            index=move(self.index),
            valid=move(self.valid),
            fields={name: move(x) if isinstance(x, Tensor) else x for name, x in self.fields.items()},
            soft_labels=None if self.soft_labels is None else move(self.soft_labels),
        )

    def to(self, device, **kwargs) -> Batch:
        """The batch with its tensors on another device, one transfer for each view size; kwargs as of Tensor.to."""
        return self._map(lambda x: x.to(device, **kwargs))

    def pin_memory(self) -> Batch:
        """The batch with its tensors in page-locked memory."""
        return self._map(lambda x: x.pin_memory())

    def mix(self, op: Mixing | str | dict, num_classes: int, seed: int, epoch: int = 0) -> Batch:
        """A batch whose images are mixed with one another by Mixup or CutMix, and `soft_labels` mixed alike.

        The numbers are sampled by (seed, epoch, index), once for all views of a sample. CutMix's box has whole pixels,
        so its share may differ between view sizes: the labels take the share of the first size. A batch may be mixed
        again. ConfigError unless all labels are from 0 to num_classes - 1.
        """
        mixing = build(op, OPS, Mixing)
        drawn = mixing.draw(checked_seed(seed), checked_seed(epoch, "epoch"), self.index.cpu().numpy())
        soft = self._soft_labels(num_classes)
        mixed = [mixing.mixed(block, drawn) for block in self.blocks]
        soft = mixup.tensor(soft, soft.roll(1, 0), mixed[0][1][:, None])
        return replace(self, blocks=[block for block, _ in mixed], soft_labels=soft)

    def _soft_labels(self, num_classes: int) -> Tensor:
        """(B, num_classes) float32: the soft labels of an earlier mix, else the labels as one-hot vectors."""
        if self.soft_labels is not None:
            if self.soft_labels.shape[1] != num_classes:
                raise ConfigError(
                    f"Batch.mix: num_classes is {num_classes}, where the soft labels of this batch, which has been "
                    f"mixed before, have {self.soft_labels.shape[1]}"
                )
            return self.soft_labels
        wrong = ((self.labels < 0) | (self.labels >= num_classes)).nonzero().flatten().tolist()
        if wrong:
            row, label = int(self.index[wrong[0]]), int(self.labels[wrong[0]])
            what = "no label" if label == -1 else f"label {label}, and num_classes is {num_classes}"
            raise ConfigError(f"Batch.mix: sample {row} has {what}; labels go from 0 to num_classes - 1")
        return torch.nn.functional.one_hot(self.labels, num_classes).float()

    @classmethod
    def from_views(
        cls, views: Sequence[Tensor], labels: Tensor | None = None, strategies: Sequence[str] | None = None
    ) -> Batch:
        """A batch of the views (B, 3, S, S) of any other loader.

        labels (B,): integers.  strategies: a name for each view; by default all views share one.
        Each view counts as a crop of its own; views of another size than the first view's are local. ViewError where
        the views have different numbers of images.
        """
        if not len(views):
            raise ViewError("Batch.from_views needs at least one view")
        n = len(views[0])
        if any(len(view) != n for view in views):
            raise ViewError(f"Batch.from_views: views of {[len(v) for v in views]} images; each needs the same number")
        names = [UNNAMED] * len(views) if strategies is None else list(strategies)
        if len(names) != len(views):
            raise ViewError(f"Batch.from_views: {len(names)} strategies for {len(views)} views; name one for each view")
        sides = [view.shape[-1] for view in views]
        roles = [
            View(f"{name}.{i}", "global" if s == sides[0] else "local", s, i, name, 0)
            for i, (s, name) in enumerate(zip(sides, names, strict=True))
        ]
        unknown = torch.full((n,), -1, dtype=torch.int64)
        return cls(
            blocks=[view[None] for view in views],
            labels=unknown if labels is None else labels.long(),
            index=torch.arange(n),
            valid=torch.ones(n, dtype=torch.bool),
            roles=roles,
        )
