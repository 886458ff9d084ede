"""Small .beton files, and what loaders make of them, for the tests of data_loading."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from data_loading import Batch, DatasetWriter, Loader
from data_loading.fields import IntField, RGBImageField


class Drawn:
    """n images of random pixels and of different shapes, labelled i mod 3."""

    def __init__(self, n, side=(12, 40), flat=False):
        self.n, self.side, self.flat = n, side, flat

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        height, width = rng.integers(*self.side, 2)
        image = np.kron(rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        return (image,) if self.flat else (image, i % 3)


def write(path: Path, n: int = 50, mode: str = "raw", **kwargs) -> Path:
    """A file of n generated images; kwargs are Drawn's."""
    source = Drawn(n, **kwargs)
    fields = {"image": RGBImageField(write_mode=mode)} | ({} if source.flat else {"label": IntField()})
    DatasetWriter(path, fields).from_indexed_dataset(source, progress=False)
    return path


def spoil(path: Path, row: int) -> None:
    """Overwrite a JPEG of the file with zeros behind its first two bytes."""
    table = Loader(path, 1, "eval", size=8).reader.image_table()
    with open(path, "r+b") as file:
        file.seek(int(table.ptr[row]))
        file.write(b"\xff\xd8" + bytes(int(table.size[row]) - 2))


def contents(batches) -> list[tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]]:
    return [(batch.index.clone(), batch.labels.clone(), [v.clone() for v in batch.views]) for batch in batches]


def same(a, b) -> bool:
    return len(a) == len(b) and all(
        torch.equal(i, j) and torch.equal(y, z) and all(map(torch.equal, v, w))
        for (i, y, v), (j, z, w) in zip(a, b, strict=True)
    )


def digest(batch: Batch) -> str:
    """A hash of all that a batch holds."""
    parts = [batch.index, batch.labels, batch.valid, *batch.views]
    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in parts)).hexdigest()


def by_sample(batches) -> dict[int, str]:
    """Row of the file -> a hash of its views."""
    return {
        int(row): hashlib.sha256(b"".join(v[b].numpy().tobytes() for v in batch.views)).hexdigest()
        for batch in batches
        for b, row in enumerate(batch.index)
        if batch.valid[b]
    }
