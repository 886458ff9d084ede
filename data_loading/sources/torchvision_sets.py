"""Data sets of torchvision, downloaded if missing and read by torchvision's own code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.decode.file import read_image
from data_loading.errors import DecodeError, SourceError
from data_loading.sources.base import ArraySource, Source, write_command

PARTS = {"train": {"train": True}, "test": {"train": False}}
# name -> (torchvision's class, split -> keyword arguments of that class)
SETS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "cifar10": ("CIFAR10", PARTS),
    "cifar100": ("CIFAR100", PARTS),
    "fashion_mnist": ("FashionMNIST", PARTS),
    "stl10": ("STL10", {split: {"split": split} for split in ("train", "test", "unlabeled", "train+unlabeled")}),
    "imagenet": ("ImageNet", {split: {"split": split} for split in ("train", "val")}),
}


def open_set(name: str, split: str | None, root: str | Path | None) -> Source:
    """Open a data set of SETS.

    split: a key of its splits in SETS.  root: folder of the files; torchvision downloads missing files to it. ImageNet
    cannot be downloaded: root must have its archives, or the folders train and val and the development kit.
    SourceError if split or root is missing or wrong, or if torchvision fails.
    """
    kind, splits = SETS[name]
    if split is None or split not in splits:
        fault = "no split was given" if split is None else f"there is no split {split!r}"
        first = write_command(name, f"--split {next(iter(splits))}", f"--root {root or 'FOLDER'}")
        raise SourceError(f"{name}: {fault}; choose {' or '.join(splits)}: {first}")
    if root is None:
        raise SourceError(
            f"{name}: give the folder of its files, to which torchvision downloads missing ones: "
            f"{write_command(name, f'--split {split}', '--root FOLDER')}"
        )
    return ImageNet(name, split, root) if kind == "ImageNet" else TorchvisionSet(name, split, root)


def _torchvision_dataset(name: str, split: str, root: str | Path, **options: Any) -> Any:
    """An instance of torchvision's class. options: its further keyword arguments, such as download."""
    from torchvision import datasets

    kind, splits = SETS[name]
    try:
        return getattr(datasets, kind)(root, **splits[split], **options)
    except Exception as error:  # network, archive and pickle errors of torchvision
        text = str(error).replace("\n", " ") or type(error).__name__
        raise SourceError(f"{name} cannot be read from or downloaded to {root}: {text}") from error


class TorchvisionSet(ArraySource):
    """A data set that torchvision loads as one array. STL10's split "unlabeled" has no labels."""

    def __init__(self, name: str, split: str, root: str | Path):
        self.set = name, split, root
        data = _torchvision_dataset(name, split, root, download=True)
        self._images = _pixels(data.data)
        labels = getattr(data, "targets", getattr(data, "labels", None))
        if split != "unlabeled" and labels is not None:
            self.labels, self.classes = np.asarray(labels, np.int64), list(data.classes)
        self.paths = [f"{name}/{split}/{i}" for i in range(len(self._images))]

    def _load(self) -> np.ndarray:
        return _pixels(_torchvision_dataset(*self.set, download=False).data)


def _pixels(data: Any) -> np.ndarray:
    """torchvision's array or tensor as uint8 (N, H, W, 3), or (N, H, W) if grey."""
    array = np.asarray(data)
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 and array.shape[1] == 3 else array


class ImageNet(Source):
    """ImageNet: the original JPEG files, with classes and samples in torchvision's order."""

    write_mode = "keep"

    def __init__(self, name: str, split: str, root: str | Path):
        data = _torchvision_dataset(name, split, root)
        self.classes = [words if isinstance(words, str) else ", ".join(words) for words in data.classes]
        self.labels = np.array([label for _, label in data.samples], np.int64)
        self.paths = [os.path.relpath(path, root) for path, _ in data.samples]
        self.root = Path(root)

    def image(self, i: int) -> np.ndarray | bytes:
        try:
            return read_image((self.root / self.paths[i]).read_bytes())
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror or error}") from error

    def name(self, i: int) -> str:
        return str(self.root / self.paths[i])

    def fingerprint(self) -> str:
        """Hash of the names and sizes of the files."""
        facts = [(path, (self.root / path).stat().st_size) for path in self.paths]
        return hashlib.sha256(repr(facts).encode("utf-8", "surrogateescape")).hexdigest()
