"""Features of a data set, extracted once: every protocol then works on arrays."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.config.atomic import whole, write_whole
from data_loading.errors import SourceError, UserError
from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from massrl.nn.modes import evaluating

log = logging.getLogger(__name__)
PIXEL_VALUES: dict[str, Sequence[float]] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}  # pixels stay in 0..1
WHOLE: dict[str, Any] = {"rank": 0, "world_size": 1}  # of a Loader: all rows on each process of a training
PIXEL_SIDE = 32  # pixels as features: larger images are scaled down to this side, so that a probe on them is affordable
USUAL_BATCH = 256  # images at once unless said


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


def extract(
    backbone: nn.Module | None,
    path: str | Path | Sequence[str | Path],
    size: int | None = None,
    *,
    batch_size: int = USUAL_BATCH,
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
        size, mean, std = pixel_side(size), *PIXEL_VALUES.values()
    found = extract_layers(
        OneLayer(backbone if backbone is not None else nn.Flatten()),
        path,
        size,
        batch_size=batch_size,
        num_workers=num_workers,
        mean=mean,
        std=std,
        indices=indices,
        device=device,
    )
    return found[""]


def pixel_side(size: int | None) -> int:
    """Side of the images whose pixels are features."""
    return min(size or PIXEL_SIDE, PIXEL_SIDE)


class OneLayer(nn.Module):
    """A network as `extract_layers` takes it: the output of an encoder, under the name of its layer."""

    def __init__(self, encoder: nn.Module, layer: str = ""):
        super().__init__()
        self.encoder, self.layers = encoder, (layer,)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {self.layers[0]: self.encoder(x)}


@torch.no_grad()
def extract_layers(
    network: nn.Module,
    path: str | Path | Sequence[str | Path],
    size: int | None = None,
    *,
    batch_size: int = USUAL_BATCH,
    num_workers: int = 2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    indices: Sequence[int] | None = None,
    device: str | torch.device | None = None,
) -> dict[str, Features]:
    """`extract` for a network that returns several layers, {name: (B, F)}, as `massrl.evaluation.layers.Layers`."""
    options: dict[str, Any] = {"size": size, "num_workers": num_workers, "order": "sequential", "indices": indices}
    options |= {"mean": IMAGENET_MEAN if mean is None else mean, "std": IMAGENET_STD if std is None else std, **WHOLE}
    loader = Loader(path, min(batch_size, USUAL_BATCH), "eval", **options)
    if batch_size > USUAL_BATCH:  # a batch of more images than there are would be filled with repetitions
        loader = Loader(path, min(batch_size, max(len(loader.indices), USUAL_BATCH)), "eval", **options)
    x: dict[str, list[Tensor]] = {}
    y, index = [], []
    home = device_of(network)
    device = torch.device(device) if device is not None else home
    with evaluating(network.to(device)):
        for batch in loader:
            for name, out in network(batch.views[0].to(device)).items():
                x.setdefault(name, []).append(out.float().cpu()[batch.valid])
            y.append(batch.labels[batch.valid])
            index.append(batch.index[batch.valid])
    network.to(home)
    labels, rows = torch.cat(y).numpy(), torch.cat(index).numpy()
    return {name: Features(torch.cat(parts).numpy(), labels, rows) for name, parts in x.items()}


def require_labels(features: Features, path: str | Path | Sequence[str | Path]) -> None:
    """Refuse a file without labels: it has no accuracy."""
    if not features.labelled:
        raise SourceError(f"{path}: images have no labels, so there is no accuracy; give a folder of class folders")


def cached(cache: Path | None, facts: dict[str, Any], make: Callable[[], Features]) -> Features:
    """The features that `make()` returns, kept under cache/<hash of facts>/ and read from there the next time.

    facts: everything that the features depend on, as JSON values.  cache None keeps nothing.
    """
    return cached_layers(cache, {"": facts}, lambda _: {"": make()})[""]


def cached_layers(
    cache: Path | None, facts: dict[str, dict[str, Any]], make: Callable[[list[str]], dict[str, Features]]
) -> dict[str, Features]:
    """`cached` for several layers: `make` is called once, with the names of those that are not in the cache.

    facts: name of the layer -> everything that its features depend on, as JSON values.
    """
    files = {name: _cache_file(cache, one) for name, one in facts.items()} if cache is not None else {}
    found = {name: features for name, file in files.items() if (features := _stored(file)) is not None}
    missing = [name for name in facts if name not in found]
    if missing:
        for name, features in make(missing).items():
            found[name] = features
            if cache is not None:
                _keep(files[name], features, facts[name])
    return {name: found[name] for name in facts}


def _cache_file(cache: Path, facts: dict[str, Any]) -> Path:
    text = json.dumps(facts, sort_keys=True)
    return Path(cache) / hashlib.sha256(text.encode()).hexdigest()[:32] / "features.npz"


def _stored(file: Path) -> Features | None:
    if file.exists():
        with contextlib.suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):  # cut short: made again
            with file.open("rb") as raw, np.load(raw) as stored:
                return Features(stored["x"], stored["y"], stored["index"])
    return None


def _keep(file: Path, features: Features, facts: dict[str, Any]) -> None:
    """Store features where that is possible; an hour's pass is not lost to a full disk."""
    try:
        _store(file, features, facts)
    except UserError as error:
        log.warning("%s; the features are used, but not kept", error)


def _store(file: Path, features: Features, facts: dict[str, Any]) -> None:
    with whole(file) as stored:
        np.savez(stored, x=features.x, y=features.y, index=features.index)
    write_whole(file.with_name("features.json"), json.dumps(facts, sort_keys=True) + "\n")
