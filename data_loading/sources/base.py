"""Source: a data set that a DatasetWriter takes."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from data_loading.fields import Field, IntField, RGBImageField


def choice(source: Any, *options: str) -> str:
    """The command that writes the chosen part of a source. Only it and `open` can choose: what else takes a source (a
    Loader, a training) takes the file that it has written."""
    return f"massrl data write {source} FILE.beton {' '.join(options)}"


class Source(ABC):
    """Images and, where there are classes, their labels.

    source[i] is (image, label), or (image,) without labels. An image is uint8 (H, W, 3) RGB, or the bytes of a file.
    classes: names by label, or None.  labels: (N,) int64, or None.  paths: N names, relative to the source.
    """

    write_mode = "raw"  # how images are stored when the user does not say
    classes: list[str] | None = None
    labels: np.ndarray | None = None
    paths: list[str]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        image = self.image(i)
        return (image,) if self.labels is None else (image, int(self.labels[i]))

    @abstractmethod
    def image(self, i: int) -> np.ndarray | bytes: ...

    def name(self, i: int) -> str:
        """What errors call sample i."""
        return self.paths[i]

    def fields(self, write_mode: str | None = None, **options: Any) -> dict[str, Field]:
        """The fields to write: `image`, with the options of RGBImageField, and `label` where there are classes."""
        image = RGBImageField(write_mode or self.write_mode, **options)
        return {"image": image} if self.labels is None else {"image": image, "label": IntField()}

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digits that change when the source does."""


class ArraySource(Source):
    """A source whose images are one array, read again by each process that needs it rather than sent there."""

    _images: np.ndarray | None = None

    @abstractmethod
    def _load(self) -> np.ndarray:
        """Images uint8 (N, H, W, 3), or (N, H, W) and (N, H, W, 1) where they are grey."""

    @property
    def images(self) -> np.ndarray:
        if self._images is None:
            self._images = self._load()
        return self._images

    def image(self, i: int) -> np.ndarray:
        image = self.images[i]
        return image if image.shape[2:] == (3,) else np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.images))
        digest.update(b"" if self.labels is None else self.labels.tobytes())
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}
