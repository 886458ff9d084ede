"""The image field: stored as raw pixels, JPEG or PNG, chosen per field or per sample."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.decode import JPEG, PNG, RAW, decode_jpeg
from data_loading.decode.depth import to_rgb
from data_loading.decode.file import UprightJPEG, read_image
from data_loading.decode.jpeg import encode_jpeg
from data_loading.decode.png import encode_png
from data_loading.errors import BetonError, ConfigError, DecodeError, one_of

WRITE_MODES = ("raw", "jpg", "png", "smart", "proportion", "keep")


class RGBImageField(Field):
    """An RGB image. Takes a uint8 array (H, W, 3), a PIL image, or the bytes of an image file (rotated as EXIF says).

    write_mode (or mode=, as in erow's fork of FFCV): how images are stored.
        "raw"         pixels, H * W * 3 bytes
        "jpg"         JPEG
        "png"         PNG, lossless; erow's fork can read it, stock FFCV cannot
        "smart"       JPEG if the pixels take more than smart_threshold bytes, else raw; always raw if that is None
        "proportion"  JPEG with probability compress_probability, else raw; random number keyed by (seed, row)
        "keep"        JPEG files as they are, everything else raw
    Where a JPEG is stored, an upright RGB or grey JPEG file that is not resized is copied byte for byte.
    max_resolution: images with a longer side above this (pixels) are downscaled to it.  jpeg_quality: 1 to 100, for
    images encoded here.  compress_probability: 0 to 1; used, and required, by "proportion" only.
    ConfigError for an argument out of range; sides above 65,535 pixels are a BetonError.
    """

    kind = "image"
    checked = True

    def __init__(
        self,
        write_mode: str | None = None,
        max_resolution: int | None = None,
        smart_threshold: int | None = None,
        jpeg_quality: int = 90,
        compress_probability: float | None = 0.5,
        *,
        mode: str | None = None,
        seed: int = 0,
    ):
        if write_mode and mode and write_mode != mode:
            raise ConfigError(
                f"write_mode is {write_mode!r} and mode is {mode!r}; they are the same option, give only one"
            )
        self.write_mode = one_of("write_mode", write_mode or mode or "raw", WRITE_MODES, ConfigError)
        if max_resolution is not None and max_resolution < 1:
            raise ConfigError(f"max_resolution is {max_resolution}; it must be at least 1 pixel")
        if smart_threshold is not None and smart_threshold < 0:
            raise ConfigError(f"smart_threshold is {smart_threshold}; it must be at least 0 bytes")
        if not 1 <= jpeg_quality <= 100:
            raise ConfigError(f"jpeg_quality is {jpeg_quality}; it must be from 1 to 100")
        if compress_probability is None:
            if self.write_mode == "proportion":
                raise ConfigError('compress_probability is None; write_mode "proportion" needs a number from 0 to 1')
        elif not 0 <= compress_probability <= 1:
            raise ConfigError(f"compress_probability is {compress_probability}; it must be from 0 to 1")
        self.max_resolution, self.smart_threshold, self.jpeg_quality = max_resolution, smart_threshold, jpeg_quality
        self.compress_probability, self.seed = compress_probability, seed

    def encode(self, value: Any, row: int = 0) -> tuple[tuple[int, int, int], bytes]:
        """Returns ((mode, width, height), stored bytes). JPEG files are decoded, so that damaged ones are refused."""
        if isinstance(value, bytes | bytearray | memoryview) and not isinstance(value, UprightJPEG):
            value = read_image(bytes(value))
        is_jpeg = isinstance(value, UprightJPEG)
        image = decode_jpeg(value) if is_jpeg else pixels(value)
        small = self._downscaled(image)
        height, width = small.shape[:2]
        if max(height, width) > layout.MAX_SIDE:
            raise BetonError(f"the image is {width} x {height}; the format stores sides up to {layout.MAX_SIDE} pixels")
        mode = self._stored_mode(small.size, is_jpeg, row)
        if mode == RAW:
            data = small.tobytes()
        elif mode == PNG:
            data = encode_png(small)
        else:
            data = value if is_jpeg and small is image else encode_jpeg(small, self.jpeg_quality)
        return (mode, width, height), data

    def _stored_mode(self, size: int, is_jpeg: bool, row: int) -> int:
        """JPEG, RAW or PNG, for an image of `size` bytes of pixels."""
        if self.write_mode == "smart":
            return JPEG if self.smart_threshold is not None and size > self.smart_threshold else RAW
        if self.write_mode == "proportion":
            assert self.compress_probability is not None, "refused when the field was made"
            return JPEG if _uniform(self.seed, row) < self.compress_probability else RAW
        if self.write_mode == "keep":
            return JPEG if is_jpeg else RAW
        return {"raw": RAW, "jpg": JPEG, "png": PNG}[self.write_mode]

    def _downscaled(self, image: np.ndarray) -> np.ndarray:
        """Downscale a larger image by area averaging to max_resolution; the shorter side rounds down, but not to 0."""
        longer = max(image.shape[:2])
        if self.max_resolution is None or longer <= self.max_resolution:
            return image
        height, width = (max(1, side * self.max_resolution // longer) for side in image.shape[:2])
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _uniform(seed: int, row: int) -> float:
    """A random number in [0, 1) that depends on (seed, row) only, not on the number of worker processes."""
    from data_loading.kernel.rng import checked_seed, philox_numpy, stream  # imports numba, so only here

    counter = np.array([row & 0xFFFFFFFF, row >> 32, stream("write/proportion"), 0], np.uint32)
    return int(philox_numpy(counter, (checked_seed(seed), 0))[0]) / 2**32


def pixels(value: Any) -> np.ndarray:
    """A PIL image, or a uint8 array (H, W, 3), as a contiguous RGB array; BetonError for anything else."""
    if isinstance(value, Image.Image):
        return to_rgb(value)
    if not isinstance(value, np.ndarray):
        raise BetonError(
            f"an image must be an array, a PIL image, or the bytes of an image file, got {type(value).__name__}"
        )
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3:
        raise BetonError(f"an image array must be uint8 (H, W, 3), got {value.dtype} {value.shape}")
    if value.size == 0:
        raise DecodeError(f"the image is empty: {value.shape[1]} x {value.shape[0]} pixels")
    return np.ascontiguousarray(value)
