"""Fields: what a column of a .beton file stores, and how a value becomes (record, bytes)."""

from __future__ import annotations

import operator
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data_loading.beton import layout
from data_loading.decode import JPEG, RAW, decode_jpeg
from data_loading.decode.jpeg import encode_jpeg
from data_loading.errors import BetonError, ConfigError, DecodeError

WRITE_MODES = ("raw", "jpg", "keep")


class Field:
    """One column. `kind` names its type in the file; `encode` gives its record without pointer, and its bytes."""

    kind: str

    @property
    def type_id(self) -> int:
        return layout.TYPE_IDS[self.kind]

    def encode(self, value: Any) -> tuple[Any, bytes | None]:
        """value -> (record, bytes to store on a page, or None where the record holds the value itself)."""
        raise BetonError(f"fields of type {self.kind} cannot be written yet; RGBImageField and IntField can")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class StoredField(Field):
    """A column that stock FFCV wrote and that cannot be decoded yet; it takes its place, other columns are read."""

    def __init__(self, kind: str):
        self.kind = kind


class IntField(Field):
    """A whole number of 64 bits, as labels are."""

    kind = "int"

    def encode(self, value: Any) -> tuple[int, None]:
        try:
            number = operator.index(value)
        except TypeError:
            raise BetonError(f"an IntField takes whole numbers, got {value!r} of type {type(value).__name__}") from None
        if not -(1 << 63) <= number < 1 << 63:
            raise BetonError(f"{number} does not fit into 64 bits")
        return number, None


class RGBImageField(Field):
    """An image: uint8 (H, W, 3) RGB array, a PIL image, or the bytes of a JPEG file.

    write_mode: "raw" stores pixels, "jpg" a JPEG (bytes that come as a JPEG stay unchanged), "keep" what comes: bytes
    as JPEG, all else raw. max_resolution: the longer side in pixels is reduced to it. jpeg_quality: where one is made.
    """

    kind = "image"

    def __init__(self, write_mode: str = "raw", max_resolution: int | None = None, jpeg_quality: int = 90):
        if write_mode not in WRITE_MODES:
            raise ConfigError(f"write_mode is {write_mode!r}; choose one of {', '.join(WRITE_MODES)}")
        if max_resolution is not None and max_resolution < 1:
            raise ConfigError(f"max_resolution is {max_resolution}; it must be at least 1 pixel")
        if not 1 <= jpeg_quality <= 100:
            raise ConfigError(f"jpeg_quality is {jpeg_quality}; it must lie from 1 to 100")
        self.write_mode, self.max_resolution, self.jpeg_quality = write_mode, max_resolution, jpeg_quality

    def encode(self, value: Any) -> tuple[tuple[int, int, int], bytes]:
        """value -> ((mode, width, height), stored bytes). JPEG bytes are decoded once, so no damaged one gets in."""
        is_jpeg = isinstance(value, bytes | bytearray | memoryview)
        image = decode_jpeg(bytes(value)) if is_jpeg else pixels(value)
        small = self._reduced(image)
        height, width = small.shape[:2]
        if max(height, width) > layout.MAX_SIDE:
            raise BetonError(f"the image is {width} x {height}; the format holds sides up to {layout.MAX_SIDE} pixels")
        if self.write_mode == "raw" or (self.write_mode == "keep" and not is_jpeg):
            return (RAW, width, height), small.tobytes()
        if is_jpeg and small is image:
            return (JPEG, width, height), bytes(value)
        return (JPEG, width, height), encode_jpeg(small, self.jpeg_quality)

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        """The image itself, or shrunk by area so that its longer side is max_resolution (the shorter rounds down)."""
        longer = max(image.shape[:2])
        if self.max_resolution is None or longer <= self.max_resolution:
            return image
        height, width = (max(1, side * self.max_resolution // longer) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def pixels(value: Any) -> np.ndarray:
    """A PIL image or an array -> uint8 (H, W, 3) RGB; an array of another shape or dtype is refused."""
    if isinstance(value, Image.Image):
        return np.asarray(value.convert("RGB"))
    if not isinstance(value, np.ndarray):
        raise BetonError(f"an image is an array, a PIL image, or the bytes of a JPEG, got {type(value).__name__}")
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
        raise BetonError(f"an image array is uint8 (H, W, 3), got {value.dtype} {value.shape}")
    if value.size == 0:
        raise DecodeError(f"the image is empty: {value.shape[1]} x {value.shape[0]} pixels")
    return np.ascontiguousarray(value)


FIELDS = {"image": RGBImageField, "int": IntField}


def stored_field(type_id: int) -> Field:
    """The field of a column of an existing file."""
    kind = layout.COLUMNS[type_id][0]
    return FIELDS[kind]() if kind in FIELDS else StoredField(kind)
