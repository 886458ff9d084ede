"""PNG as the erow fork of FFCV stores it: red and blue change places inside the file. Lossless."""

from __future__ import annotations

import cv2
import numpy as np

from data_loading.decode.raw import by_pillow, into
from data_loading.errors import DecodeError


def decode_png(
    data: bytes | np.ndarray, buffer: np.ndarray | None = None, size: tuple[int, int] | None = None
) -> np.ndarray:
    """data: a stored PNG -> (H, W, 3) uint8 in true RGB, in `buffer` (uint8 1-D) where that is large enough.

    size: the (H, W) that the image must have, checked before it is decoded.

    The fork encodes RGB arrays with OpenCV, which takes them for BGR; hence the swap. DecodeError for damaged data.
    """
    return into(buffer, by_pillow(data, "PNG", size)[:, :, ::-1])


def encode_png(image: np.ndarray) -> bytes:
    """image (H, W, 3) uint8 RGB -> a PNG with red and blue exchanged, as the fork stores it."""
    done, data = cv2.imencode(".png", image)  # takes the array for BGR: the exchange
    if not done:
        raise DecodeError(f"OpenCV cannot encode an image of {image.shape[1]} x {image.shape[0]} as PNG")
    return data.tobytes()
