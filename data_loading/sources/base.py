"""Source: base class of the data sets that `massrl data write` and DatasetWriter can write."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from data_loading.fields import Field, IntField, RGBImageField

MOST_BYTES = 1 << 30  # of an unpacked image file: no image that Pillow opens takes more, and a hostile one could


def write_command(source: Any, *options: str) -> str:
    """A `massrl data write` command line, for error messages that ask the user to choose a split or a folder.

    Only that command and `open` have these options. Loaders and training take the .beton file that it writes.
    """
    return f"massrl data write {source} FILE.beton {' '.join(options)}"


class Source(ABC):
    """A data set of images with optional labels. source[i] is (image, label), or (image,) if there are no labels."""

    write_mode = "raw"  # default write_mode of RGBImageField
    classes: list[str] | None = None  # class names, indexed by label
    labels: np.ndarray | None = None  # int64 (N,)
    paths: list[str]  # N names, relative to the source

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Any, ...]:
        image = self.image(i)
        return (image,) if self.labels is None else (image, int(self.labels[i]))

    @abstractmethod
    def image(self, i: int) -> np.ndarray | bytes:
        """Image i: uint8 (H, W, 3) RGB, or the bytes of an image file. DecodeError if it cannot be read."""

    def name(self, i: int) -> str:
        """Sample i in error messages."""
        return self.paths[i]

    def fields(self, write_mode: str | None = None, **options: Any) -> dict[str, Field]:
        """The fields for DatasetWriter: `image`, and `label` if there are labels. Arguments: those of RGBImageField."""
        image = RGBImageField(write_mode or self.write_mode, **options)
        return {"image": image} if self.labels is None else {"image": image, "label": IntField()}

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash in hex that changes when the data changes. as_beton compares it with the one of the cached file."""


class ArraySource(Source):
    """A source with all images in one array. Pickling drops the array, so each worker process reads it again."""

    _images: np.ndarray | None = None

    @abstractmethod
    def _load(self) -> np.ndarray:
        """Read the images: uint8 (N, H, W, 3), or grey (N, H, W) or (N, H, W, 1)."""

    @property
    def images(self) -> np.ndarray:
        """The images as `_load` returns them, read on first use."""
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
