"""PNG as erow's fork of FFCV stores it: lossless, with the red and blue channels swapped in the file."""

from __future__ import annotations

import cv2
import numpy as np

from data_loading.decode.raw import copy_into, decode_with_pillow
from data_loading.errors import DecodeError


def decode_png(
    data: bytes | np.ndarray, buffer: np.ndarray | None = None, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Decode a stored PNG to uint8 (H, W, 3) RGB, undoing the swap (the fork passes RGB arrays to OpenCV as BGR).

    data: the file as bytes or uint8 (n,).
    buffer: uint8 1-D; if it is large enough, the result is a view of its first H * W * 3 bytes.
    size: expected (H, W), checked before decoding.
    DecodeError for damaged data or another size.
    """
    return copy_into(buffer, decode_with_pillow(data, "PNG", size)[:, :, ::-1])


def encode_png(image: np.ndarray) -> bytes:
    """Encode uint8 (H, W, 3) RGB as a PNG with red and blue swapped, as the fork stores it."""
    done, data = cv2.imencode(".png", image)  # interprets the array as BGR, which swaps the channels
    if not done:
        raise DecodeError(f"OpenCV cannot encode an image of {image.shape[1]} x {image.shape[0]} as PNG")
    return data.tobytes()
