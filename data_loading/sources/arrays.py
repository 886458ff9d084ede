"""Images and labels in a .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.config.memory import free_memory
from data_loading.errors import SourceError
from data_loading.sources.base import ArraySource, write_command

# Accepted keys, in order of preference.
IMAGES = ("images", "x", "X", "data")
LABELS = ("labels", "y", "Y", "targets")
CLASSES = ("classes", "class_names")
MOST_CLASSES = 1 << 20  # larger labels are numbers of another kind, and are not named


class Arrays(ArraySource):
    """The arrays of a .npz file.

    Images: uint8 (N, H, W, 3), or grey (N, H, W) or (N, H, W, 1); key images, x, X or data.
    Labels, optional: integers (N,) or (N, 1); key labels, y, Y or targets.
    Class names, optional: key classes or class_names; without them, classes are named "0", "1", ...
    split: suffix or prefix of the keys, for example "train" for x_train (as Keras) or train_images (as MedMNIST).
    SourceError if the file is missing, damaged or has other arrays, or if there is not enough memory for the images.
    """

    def __init__(self, path: str | Path, split: str | None = None):
        self.path = Path(path)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                keys = list(file)
                key = _first(IMAGES, split, keys)
                if key is None:
                    raise SourceError(f"{path} has no array named {self._wanted(split)}; {self._instead(keys)}")
                self.key = key
                of_labels = _first(LABELS, split, keys)
                of_classes = next((name for name in CLASSES if name in keys), None)
                labels = None if of_labels is None else _flat(self._array(file, of_labels))
                count = 0 if of_classes or labels is None else self._class_count(file, keys)
                classes = None if of_classes is None else self._array(file, of_classes)
                self._images = self._array(file, key)
        except FileNotFoundError:
            raise SourceError(f"{path}: there is no such file") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
            raise SourceError(f"{path} is not a .npz file of plain arrays: {error}") from error
        self._check(labels)
        self.labels = None if labels is None else labels.astype(np.int64)
        if self.labels is not None:
            numbers = [str(i) for i in range(count)] if count <= MOST_CLASSES else None
            self.classes = numbers if classes is None else list(map(str, classes))
        self.paths = [f"{self.key}[{i}]" for i in range(len(self.images))]

    @staticmethod
    def _wanted(split: str | None) -> str:
        return ", ".join(_forms(name, split)[0] for name in IMAGES)

    def _instead(self, keys: list[str]) -> str:
        """What the file has, and how to choose one of its splits."""
        splits = sorted({part for key in keys for part in _splits(key)})
        hint = f"; choose {' or '.join(splits)}: {write_command(self.path, f'--split {splits[0]}')}" if splits else ""
        return f"it has {', '.join(keys)}{hint}"

    def _class_count(self, file: Any, keys: list[str]) -> int:
        """The largest label of all splits + 1: a split whose images lack a class has the classes of the others."""
        found = [self._array(file, key) for key in keys if key in LABELS or _splits(key, LABELS)]
        return 1 + max((int(y.max()) for y in found if y.dtype.kind in "iu" and y.size), default=-1)

    def _array(self, file: Any, key: str) -> np.ndarray:
        """An array of the open file, whose directory says what it takes before it is unpacked."""
        size, free = file.zip.getinfo(f"{key}.npy").file_size, free_memory()
        if free is not None and size > free:
            sizes = f"{size / 2**30:.1f} GiB unpacked, and {free / 2**30:.1f} GiB of memory are free"
            raise SourceError(f"{self.path}: {key} takes {sizes}; save it in parts, or as a folder of image files")
        return file[key]

    def _check(self, labels: np.ndarray | None) -> None:
        images = self.images
        grey = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 1)
        if images.dtype != np.uint8 or not (grey or (images.ndim == 4 and images.shape[3] == 3)) or not images.size:
            hint = "; convert it with .transpose(0, 2, 3, 1)" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
            raise SourceError(
                f"{self.path}: {self.key} must be uint8 (N, H, W, 3), or (N, H, W) if grey; "
                f"it is {images.dtype} {images.shape}{hint}"
            )
        if labels is not None and (labels.dtype.kind not in "iu" or labels.shape != (len(images),)):
            raise SourceError(
                f"{self.path}: labels must be {len(images)} integers; they are {labels.dtype} {labels.shape}"
            )

    def _load(self) -> np.ndarray:
        with np.load(self.path, allow_pickle=False) as file:
            return self._array(file, self.key)

    def name(self, i: int) -> str:
        return f"{self.path}: {self.paths[i]}"


def _forms(name: str, split: str | None) -> tuple[str, ...]:
    """The keys of an array: as Keras and as MedMNIST name those of a split."""
    return (name,) if split is None else (f"{name}_{split}", f"{split}_{name}")


def _first(names: tuple[str, ...], split: str | None, keys: list[str]) -> str | None:
    return next((form for name in names for form in _forms(name, split) if form in keys), None)


def _splits(key: str, names: tuple[str, ...] = IMAGES) -> list[str]:
    """The splits that a key of images may be of, or one of other arrays with these names."""
    ends = [(key.partition("_")[0], key.partition("_")[2]), (key.rpartition("_")[2], key.rpartition("_")[0])]
    return [split for name, split in ends if name in names and split]


def _flat(labels: np.ndarray) -> np.ndarray:
    """Labels (N, 1), as of MedMNIST and Keras, as (N,)."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
