"""Features of a data set, extracted once: every protocol then works on arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from data_loading.config.atomic import whole, write_whole
from data_loading.errors import SourceError
from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from massrl.nn.modes import evaluating

PIXEL_SIDE = 32  # pixels as features: larger images are scaled down to this side, so that a probe on them is affordable


@dataclass(frozen=True)
class Features:
    """x (N, F) float32; y (N,) int64, -1 where there is no label; index (N,) int64, the rows in the file."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: np.ndarray | slice) -> Features:
        return Features(self.x[rows], self.y[rows], self.index[rows])

    @property
    def labelled(self) -> bool:
        return bool((self.y >= 0).all())


def device_of(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


@torch.no_grad()
def extract(
    backbone: nn.Module | None,
    path: str | Path | Sequence[str | Path],
    size: int | None = None,
    *,
    batch_size: int = 256,
    num_workers: int = 2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    indices: Sequence[int] | None = None,
    device: str | torch.device | None = None,
) -> Features:
    """Features of the clean centre view of every image, in the file's order.

    backbone: images (B, 3, size, size) -> (B, F); None gives the pixels themselves, in 0..1, at most 32 a side.
    path: .beton files, as a Loader takes them, or a folder.
    mean, std: what the encoder was trained with (ImageNet's when None).
    """
    if backbone is None:
        size, mean, std = min(size or PIXEL_SIDE, PIXEL_SIDE), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    loader = Loader(
        path,
        batch_size,
        "eval",
        size=size,
        num_workers=num_workers,
        order="sequential",
        indices=indices,
        mean=IMAGENET_MEAN if mean is None else mean,
        std=IMAGENET_STD if std is None else std,
    )
    x, y, index = [], [], []
    home = device_of(backbone) if backbone is not None else torch.device("cpu")
    device = torch.device(device) if device is not None else home
    with evaluating(backbone.to(device)) if backbone is not None else contextlib.nullcontext():
        for batch in loader:
            view = batch.views[0]
            out = view.flatten(1) if backbone is None else backbone(view.to(device))
            x.append(out.float().cpu()[batch.valid])
            y.append(batch.labels[batch.valid])
            index.append(batch.index[batch.valid])
    if backbone is not None:
        backbone.to(home)
    return Features(*(torch.cat(part).numpy() for part in (x, y, index)))


def require_labels(features: Features, path: str | Path | Sequence[str | Path]) -> None:
    """Refuse a file without labels: it has no accuracy."""
    if not features.labelled:
        raise SourceError(f"{path}: images have no labels, so there is no accuracy; give a folder of class folders")


def cached(cache: Path | None, facts: dict[str, Any], make: Callable[[], Features]) -> Features:
    """The features that `make()` returns, kept under cache/<hash of facts>/ and read from there the next time.

    facts: everything that the features depend on, as JSON values.  cache None keeps nothing.
    """
    if cache is None:
        return make()
    text = json.dumps(facts, sort_keys=True)
    file = Path(cache) / hashlib.sha256(text.encode()).hexdigest()[:32] / "features.npz"
    if file.exists():
        with contextlib.suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):  # cut short: made again
            with np.load(file) as stored:
                return Features(stored["x"], stored["y"], stored["index"])
    found = make()
    with whole(file) as stored:
        np.savez(stored, x=found.x, y=found.y, index=found.index)
    write_whole(file.with_name("features.json"), text + "\n")
    return found
