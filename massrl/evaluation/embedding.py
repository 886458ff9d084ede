"""Embedding: features of the images of a folder with their file names, to keep, to search and to plot."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import IO, Any

import numpy as np

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.config.atomic import whole
from data_loading.errors import ConfigError
from data_loading.sources.cached import CACHE
from data_loading.sources.index import read_index
from massrl.evaluation.features import Features
from massrl.evaluation.labels import Data
from massrl.evaluation.options import check_options
from massrl.evaluation.protocol import check_finite
from massrl.evaluation.rows import VIEW, Pace, Trained, features_of
from massrl.methods.base import Branch
from massrl.runs.record import git, versions

SUFFIXES = (".npz", ".csv", ".parquet")


@dataclass(frozen=True, repr=False, eq=False)
class Embedding:
    """Features of every image of a data set, by one layer of one network.

    x: (N, F) float32.  y: (N,) int64 labels, -1 where there is none.  index: (N,) int64, the rows in the file.
    names: of the image files, relative to their folder; None where the data were .beton files without names.
    file: the .beton file or files with the images; of a folder the one in the cache.
    """

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray
    names: list[str] | None
    classes: list[str] | None  # names of the labels, of a folder of class folders
    layer: str
    branch: str
    method: str
    size: int
    checkpoint_sha256: str
    data_sha256: str
    file: Path | list[Path]

    def __len__(self) -> int:
        return len(self.x)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what the features are and what they depend on, without the features."""
        return {
            "images": len(self.x),
            "features": int(self.x.shape[1]),
            "method": self.method,
            "layer": self.layer,
            "branch": self.branch,
            "view": VIEW,
            "size": self.size,
            "checkpoint_sha256": self.checkpoint_sha256,
            "data_sha256": self.data_sha256,
            "versions": versions(),
            "git": git(),
        }

    def save(self, path: str | os.PathLike) -> Path:
        """Write the features to a .npz, .csv or .parquet file, the whole file or nothing.

        .npz: arrays x, y, index, names where there are any, and card, the text of `to_dict()` as JSON.  .csv and
        .parquet: a row an image with the columns name (or index), label and one for each feature, f0, f1, ...
        Raises ConfigError for another suffix, and for .parquet where pyarrow is not installed.
        """
        path = Path(path)
        check_suffix(path)
        with whole(path) as file:
            if path.suffix == ".npz":
                arrays = {"x": self.x, "y": self.y, "index": self.index, "card": np.array(json.dumps(self.to_dict()))}
                arrays |= {} if self.names is None else {"names": np.array(self.names)}
                np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the last for allow_pickle
            elif path.suffix == ".csv":
                self._write_csv(file)
            else:
                self._write_parquet(file)
        return path

    def _head(self) -> tuple[str, Sequence[Any]]:
        """Name and values of the column that says which image a row is of."""
        return ("name", self.names) if self.names is not None else ("index", self.index.tolist())

    def _write_csv(self, file: IO[bytes]) -> None:
        what, which = self._head()
        # Names of files may be no UTF-8; their bytes are written as they are.
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogateescape", newline="")
        writer = csv.writer(text)
        writer.writerow([what, "label", *(f"f{i}" for i in range(self.x.shape[1]))])
        for name, label, row in zip(which, self.y.tolist(), self.x, strict=True):
            writer.writerow([name, label, *(f"{value:.9g}" for value in row.tolist())])  # 9 digits: float32 exactly
        text.flush()
        text.detach()

    def _write_parquet(self, file: IO[bytes]) -> None:
        import pyarrow
        import pyarrow.parquet

        what, which = self._head()
        if self.names is not None:  # text in parquet is UTF-8
            which = [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in self.names]
        columns = {what: which, "label": self.y, **{f"f{i}": self.x[:, i] for i in range(self.x.shape[1])}}
        pyarrow.parquet.write_table(pyarrow.table(columns), file)

    def _rows(self) -> list[tuple[str, str]]:
        found = self.to_dict()
        shown = {key: found[key] for key in ("images", "features", "method", "layer", "branch", "size")}
        return [(name, f"{value} px" if name == "size" else str(value)) for name, value in shown.items()]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<10}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"


def check_suffix(path: Path) -> None:
    """Refuse, by a ConfigError, a file that features cannot be written to: told before they are computed."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: features are written to {', '.join(SUFFIXES)} files; choose one of these suffixes")
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ConfigError(
                f"{path}: .parquet needs pyarrow: pip install massrl[parquet]; or write .npz or .csv"
            ) from None


def embed(
    data: Data,
    checkpoint: str | os.PathLike,
    *,
    layer: str | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Embedding:
    """Features of every image of a folder with the names of their files, as `massrl embed`.

    Examples:
        >>> massrl.embed("my_images/", "runs/first").save("features.csv")

    Args:
        data: a folder of images or .beton files; labels are not needed.
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        layer: one of `massrl.evaluation.layers`; the encoder's output unless said.
        branch, size, batch_size, num_workers, cache_dir: as of `features`.

    Raises:
        massrl.errors.UserError: a checkpoint, file, layer or branch that does not fit, in one line.
    """
    options: dict[str, Any] = {"branch": branch, "size": size, "batch_size": batch_size}
    found = features(checkpoint, data, layers=layer, **options, num_workers=num_workers, cache_dir=cache_dir)
    return next(iter(found.values()))


def features(
    checkpoint: str | os.PathLike,
    data: Data,
    *,
    layers: str | Sequence[str] | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> dict[str, Embedding]:
    """Frozen features of every image, without augmentation, by one or more layers; computed once, then cached.

    Examples:
        >>> massrl.features("runs/first", "my_images/", layers=["backbone.layer3", "projector"])["projector"].x

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        data: a folder of images or .beton files; labels are not needed.
        layers: names of `massrl.evaluation.layers`, as "last4:avg"; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the view in pixels; that of the pretraining unless said.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Returns:
        Layer -> `Embedding`.

    Raises:
        massrl.errors.UserError: a checkpoint, file, layer or branch that does not fit, in one line.
    """
    check_options(size=size, batch_size=batch_size, num_workers=num_workers, cache_dir=cache_dir)
    chosen = [layers] if isinstance(layers, str) else layers
    trained = Trained.read(checkpoint, size, chosen, branch)
    file = sources.as_beton(data, cache=Path(cache_dir))
    with Reader(file) as reader:
        sha256 = reader.sha256()
    pace = Pace(batch_size, num_workers, Path(cache_dir))
    found = features_of(trained.on_device, file, sha256, trained.view, trained.facts(), pace)
    for of_layer in found.values():
        check_finite(of_layer.x)
    index = read_index(file) or {}

    def embedding(layer: str, of_layer: Features) -> Embedding:
        return Embedding(
            of_layer.x,
            of_layer.y,
            of_layer.index,
            index.get("paths"),
            index.get("classes"),
            layer,
            trained.branch,
            trained.method,
            trained.view["size"],
            trained.sha256,
            sha256,
            file,
        )

    return {layer: embedding(layer, of_layer) for layer, of_layer in found.items()}
