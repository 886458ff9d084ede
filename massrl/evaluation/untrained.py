"""The untrained baseline: the same architecture with random weights and calibrated BatchNorm statistics."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from massrl.backbones import reinitialise
from massrl.evaluation.features import WHOLE, device_of
from massrl.nn.modes import evaluating

CALIBRATION_IMAGES, CALIBRATION_BATCH = 2048, 256  # fixed: the baseline must not depend on the evaluation's batch size


def untrained_twin(
    backbone: nn.Module,
    path: str | Path | Sequence[str | Path],
    size: int | None = None,
    *,
    seed: int = 0,
    num_workers: int = 2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    indices: Sequence[int] | None = None,
) -> nn.Module:
    """A copy of `backbone` with random weights and BatchNorm statistics of training images, in eval mode and frozen.

    Calibration uses up to 2048 images without augmentation; with its initial statistics BatchNorm is the identity.

    path: .beton files or a folder with the training images.  size: of the images, pixels.  seed: of the weights and of
    the choice of images.  mean, std: of the normalisation (the loader's default when None).  indices: rows to choose
    from (default: all).
    """
    twin = reinitialise(copy.deepcopy(backbone), seed)
    count = max(1, CALIBRATION_IMAGES // CALIBRATION_BATCH)
    loader = Loader(
        path,
        CALIBRATION_BATCH,
        "eval",
        size=size,
        num_workers=num_workers,
        seed=seed,
        order="random",
        drop_last=False,
        indices=indices,
        mean=IMAGENET_MEAN if mean is None else mean,
        std=IMAGENET_STD if std is None else std,
        **WHOLE,
    )

    def images() -> Iterator[Tensor]:
        """The first `count` batches (B, 3, size, size), without padding rows."""
        for i, batch in enumerate(loader):
            if i == count:
                break
            yield batch.views[0][batch.valid]

    calibrate(twin, images())
    return twin.eval().requires_grad_(False)


@torch.no_grad()
def calibrate(module: nn.Module, images: Iterable[Tensor]) -> int:
    """Set the running statistics of each BatchNorm to the average over batches, in place; return how many were used.

    images: an iterable of batches (B, 3, H, W); batches of one image are skipped. Returns 0 without BatchNorm.
    """
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return 0
    momenta = [norm.momentum for norm in norms]
    device, count = device_of(module), 0
    with evaluating(module):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # None: cumulative instead of exponential average
            norm.training = True
        for batch in images:
            if len(batch) > 1:  # BatchNorm rejects a single value per channel
                module(batch.to(device))
                count += 1
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return count
