"""Images and labels in a .npz file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from data_loading.errors import SourceError
from data_loading.sources.base import ArraySource, write_command

# Accepted keys, in order of preference.
IMAGES = ("images", "x", "X", "data")
LABELS = ("labels", "y", "Y", "targets")
CLASSES = ("classes", "class_names")


class Arrays(ArraySource):
    """The arrays of a .npz file.

    Images: uint8 (N, H, W, 3), or grey (N, H, W) or (N, H, W, 1); key images, x, X or data.
    Labels, optional: integers (N,); key labels, y, Y or targets.
    Class names, optional: key classes or class_names; without them, classes are named "0", "1", ...
    split: suffix of the keys, for example "train" for x_train and y_train.
    SourceError if the file is missing, damaged or has other arrays.
    """

    def __init__(self, path: str | Path, split: str | None = None):
        self.path, end = Path(path), "" if split is None else f"_{split}"
        try:
            with np.load(self.path, allow_pickle=False) as file:
                keys = list(file)
                self.key = next((key + end for key in IMAGES if key + end in keys), None)
                if self.key is None:
                    splits = sorted(
                        {key.split("_", 1)[1] for key in keys if key.split("_")[0] in IMAGES and "_" in key}
                    )
                    hint = (
                        f"; choose {' or '.join(splits)}: {write_command(path, f'--split {splits[0]}')}"
                        if splits
                        else ""
                    )
                    wanted = ", ".join(key + end for key in IMAGES)
                    raise SourceError(f"{path} has no array named {wanted}; it has {', '.join(keys)}{hint}")
                labels = next((file[key + end] for key in LABELS if key + end in keys), None)
                classes = next((file[key] for key in CLASSES if key in keys), None)
                self._images = file[self.key]
        except FileNotFoundError:
            raise SourceError(f"{path}: there is no such file") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
            raise SourceError(f"{path} is not a .npz file of plain arrays: {error}") from error
        self._check(labels)
        self.labels = None if labels is None else labels.astype(np.int64)
        if self.labels is not None:
            names = [str(i) for i in range(int(self.labels.max()) + 1)] if classes is None else map(str, classes)
            self.classes = list(names)
        self.paths = [f"{self.key}[{i}]" for i in range(len(self.images))]

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
            return file[self.key]

    def name(self, i: int) -> str:
        return f"{self.path}: {self.paths[i]}"
