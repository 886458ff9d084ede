"""Pixels of any depth as 8 bits: Pillow's convert("RGB") cuts numbers above 255 off, so that 16 bits become white."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_loading.config.once import warn_once
from data_loading.errors import DecodeError

SIXTEEN = "16-bit images are scaled to 8 bits by the range of their type, 0 to 65535; if yours use less, scale them"
IN_16_BITS = ("PNG", "PPM")  # formats whose images of mode I have 16 bits


def in_16_bits(image: Image.Image) -> bool:
    """Whether an image as Pillow opened it has numbers from 0 to 65535.

    DecodeError for 32-bit integers and floats, whose range is not known.
    """
    if image.mode.startswith("I;16"):
        return True
    if image.mode == "I" and image.format in IN_16_BITS:
        return True
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise DecodeError(f"its pixels are {kind} of unknown range; scale them to 8 or 16 bits and save it again")
    return False


def to_rgb(image: Image.Image, sixteen: bool | None = None) -> np.ndarray:
    """uint8 (H, W, 3) as Pillow's convert("RGB"), but 16-bit grey scaled by its range. sixteen: of in_16_bits."""
    if not (in_16_bits(image) if sixteen is None else sixteen):
        return np.asarray(image.convert("RGB"))
    warn_once(SIXTEEN)
    grey = np.asarray(image).astype(np.float32) / 257  # 65535 = 255 * 257
    return np.repeat(np.rint(grey).astype(np.uint8)[:, :, None], 3, axis=2)
