"""Mixup in FFCV's three operations. Those of equal alpha, same_lambda and seed sample the same weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from data_loading.errors import ViewError
from data_loading.ffcv.pipeline.operation import Moment, TensorOp
from data_loading.ops import Mixup


class _Mix(TensorOp):
    """Weights from Beta(alpha, alpha): with same_lambda one for the whole batch, else one for each sample."""

    def __init__(self, alpha: float, same_lambda: bool, seed: int | None = None):
        self.mixup = Mixup(alpha, same=bool(same_lambda), seed=seed)

    def sampled(self, at: Moment) -> np.ndarray:
        """The numbers of this batch, (3, B) float64, as Mixing.draw returns them; the first row is the weight."""
        return self.mixup.draw(at.seed, at.epoch, at.batch.index.numpy())


class ImageMixup(_Mix):
    """Blend each image with the one before it in the batch; comes after all operations on single images."""

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return self.mixup.mixed(x[None], self.sampled(at))[0][0]


class LabelMixup(_Mix):
    """Labels (B, 1) -> float32 (B, 3): the label, the label of the image before, the weight of the first."""

    def run(self, x: Tensor, at: Moment) -> Tensor:
        weight = torch.from_numpy(self.sampled(at)[0]).to(x.device)
        label = x.reshape(-1)
        at.labels = _range(label) if x.device.type == "cpu" else None
        return torch.stack([label.float(), label.roll(1).float(), weight.float()], dim=1)


class MixupToOneHot(TensorOp):
    """Output of LabelMixup (B, 3) -> float32 (B, num_classes); rows add up to 1, also where both labels are equal."""

    def __init__(self, num_classes: int):
        self.num_classes = num_classes

    def run(self, x: Tensor, at: Moment) -> Tensor:
        if x.ndim != 2 or x.shape[1] != 3:
            raise ViewError(f"MixupToOneHot takes what LabelMixup gives, (B, 3), got {tuple(x.shape)}")
        labels = x[:, :2].long()
        # On a GPU what LabelMixup saw before the copy is asked, so that nothing waits for the GPU.
        least, most = at.labels if at.labels and x.device.type != "cpu" else _range(labels)
        if least < 0 or most >= self.num_classes:
            raise ViewError(f"MixupToOneHot: labels run from {least} to {most}; num_classes is {self.num_classes}")
        weights = torch.stack([x[:, 2], 1 - x[:, 2]], dim=1)
        return torch.zeros(len(x), self.num_classes, device=x.device).scatter_add_(1, labels, weights)


def _range(labels: Tensor) -> tuple[int, int]:
    return int(labels.min()), int(labels.max())
