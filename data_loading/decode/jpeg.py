"""JPEG through libjpeg-turbo (simplejpeg): bit-equal to Pillow and OpenCV, faster, and without the GIL."""

from __future__ import annotations

import numpy as np
import simplejpeg

from data_loading.decode.raw import by_pillow, into

# What libjpeg-turbo turns into RGB itself. CMYK is left to Pillow: simplejpeg rounds otherwise (by up to 2 levels).
DIRECT = ("YCbCr", "Gray", "RGB")


def decode_jpeg(data: bytes | np.ndarray, buffer: np.ndarray | None = None) -> np.ndarray:
    """data: a JPEG file as bytes or uint8 (n,) -> (H, W, 3) uint8 RGB, as Pillow's convert("RGB") gives it.

    buffer: uint8 1-D; the result is a view of its front when it is large enough, else memory of its own.
    A file that Pillow cannot read either is a DecodeError.
    """
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
        if colour in DIRECT:
            fits = buffer is not None and buffer.size >= height * width * 3
            return simplejpeg.decode_jpeg(data, buffer=buffer if fits else None)
    except ValueError:  # simplejpeg also refuses harmless faults, such as stray bytes before a marker: Pillow decides
        pass
    return into(buffer, by_pillow(data, "JPEG"))


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """image (H, W, 3) uint8 RGB -> a baseline JPEG with halved chroma (4:2:0), as FFCV writes it."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420", fastdct=False)
