"""What a protocol is given, checked before anything is trained: checkpoint and labelled images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.sources.index import read_index
from massrl.evaluation.labels import Data, check_labels, labels_of
from massrl.evaluation.protocol import check_weights
from massrl.evaluation.rows import same_classes
from massrl.methods import load
from massrl.methods.base import Branch, Method
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.record import file_sha256


@dataclass(frozen=True)
class Inputs:
    """A checkpoint's method and the labelled images of train and test.

    files: the .beton files of "train" and "test".  labels: (N,) int64 of each.  classes: largest label of train + 1.
    names: of the classes, where the file was made of class folders.  paths: of the training images, None where the file
    does not say.  branch: whose network it is.  size, mean, std: of the views of the pretraining.
    hashes: SHA-256 of checkpoint and data.
    """

    method: Method
    files: dict[str, Path | list[Path]]
    given: dict[str, Data]
    labels: dict[str, np.ndarray]
    classes: int
    names: list[str] | None
    paths: list[str] | None
    branch: Branch
    size: int
    mean: Sequence[float] | None
    std: Sequence[float] | None
    hashes: dict[str, Any] = field(default_factory=dict)

    @property
    def present(self) -> np.ndarray:
        """The classes that training images have, int64, sorted."""
        return np.unique(self.labels["train"])

    def name_of(self, label: int) -> str:
        """A class by name, else by number."""
        return self.names[label] if self.names and label < len(self.names) else str(label)


def read_inputs(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    branch: Branch | None,
    size: int | None,
    cache_dir: str | os.PathLike,
) -> Inputs:
    """Read and check; ConfigError, SourceError or CheckpointError in one line for what does not fit."""
    given = {"train": train, "test": test}
    for part, path in given.items():
        if not isinstance(path, str | os.PathLike | Sequence):
            raise ConfigError(f"{part} is {path!r}; name a folder of images or .beton files")
    where = find(checkpoint)
    data = Checkpoint.read(where).data(size)
    files = {part: sources.as_beton(path, cache=Path(cache_dir)) for part, path in given.items()}
    hashes: dict[str, Any] = {"checkpoint": file_sha256(where)}
    labels = {}
    for part, file in files.items():
        with Reader(file) as reader:
            hashes[part] = reader.sha256()
            labels[part] = labels_of(reader, given[part])
    names = same_classes((train, test), list(files.values()))
    check_labels(labels, given, names)
    index = read_index(files["train"]) or {}
    method = load(where)
    branch = branch or method.evaluated
    check_weights(method.backbone_of(branch), where)
    return Inputs(
        method=method,
        branch=branch,
        files=files,
        given=given,
        labels=labels,
        classes=int(labels["train"].max()) + 1,
        names=names,
        paths=index.get("paths"),
        **{key: data[key] for key in ("size", "mean", "std")},
        hashes=hashes,
    )
