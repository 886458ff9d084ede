"""The baseline of every accuracy: the same architecture with random weights, given a fair chance."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from data_loading.loading.loader import Loader
from massrl.backbones import reinitialise
from massrl.evaluation.features import device_of
from massrl.nn.modes import evaluating

CALIBRATION_IMAGES, CALIBRATION_BATCH = 2048, 256  # fixed: the baseline must not depend on how features are batched


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
    """A copy of backbone with random weights of `seed`, its BatchNorm calibrated on the clean training images of path.

    Without calibration the running statistics are those of no data at all, and BatchNorm does nothing.
    """
    twin = reinitialise(copy.deepcopy(backbone), seed)
    normalise = {k: tuple(v) for k, v in (("mean", mean), ("std", std)) if v is not None}
    options = {"size": size, "num_workers": num_workers, "indices": indices, "seed": seed}
    count = max(1, CALIBRATION_IMAGES // CALIBRATION_BATCH)
    loader = Loader(path, CALIBRATION_BATCH, "eval", order="random", drop_last=False, **options, **normalise)

    def images():
        for i, batch in enumerate(loader):
            if i == count:
                break
            yield batch.views[0][batch.valid]

    calibrate(twin, images())
    return twin.eval().requires_grad_(False)


@torch.no_grad()
def calibrate(module: nn.Module, images) -> int:
    """Set the running statistics of each BatchNorm to the average over batches of images; returns their number."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        return 0
    momenta = [norm.momentum for norm in norms]
    device, count = device_of(module), 0
    with evaluating(module):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average of all batches, not a moving one
            norm.training = True
        for batch in images:
            if len(batch) > 1:  # a single image has no variance to learn from in a 1 x 1 map
                module(batch.to(device))
                count += 1
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    return count
