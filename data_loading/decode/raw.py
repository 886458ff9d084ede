"""Raw pixels (H * W * 3 bytes, RGB, row-major), and helpers that the decoders share."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from data_loading.decode.header import jpeg_size, png_size
from data_loading.errors import DecodeError

# format -> (Pillow's class, function that checks the size in the header against the length of the file)
KINDS = {"JPEG": (JpegImageFile, jpeg_size), "PNG": (PngImageFile, png_size)}
LARGE = 1 << 26  # pixels; the headers of larger images are checked against the length of the file


def decode_raw(data: bytes | np.ndarray, height: int, width: int) -> np.ndarray:
    """A view of `data`, uint8 (height * width * 3,), as (height, width, 3). DecodeError for another length."""
    pixels = np.frombuffer(data, np.uint8)
    if pixels.size != height * width * 3:
        raise DecodeError(f"raw image of {width} x {height}: {pixels.size} bytes, expected {height * width * 3}")
    return pixels.reshape(height, width, 3)


def copy_into(buffer: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    """Copy `image`, uint8 (H, W, 3), to the front of `buffer`, uint8 1-D, and return that view.

    If `buffer` is None or too small, `image` itself is returned, made contiguous.
    """
    if buffer is None or buffer.size < image.size:
        return np.ascontiguousarray(image)
    out = buffer[: image.size].reshape(image.shape)
    out[:] = image
    return out


def check_size(size: tuple[int, int], expected: tuple[int, int] | None) -> None:
    """DecodeError if the (H, W) in an image's header differs from the one in its record; None is not checked."""
    if expected is not None and size != expected:
        raise DecodeError(
            f"the image is {size[1]} x {size[0]}, its record says {expected[1]} x {expected[0]}; write the file again"
        )


def decode_with_pillow(data: bytes | np.ndarray, kind: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Decode by Pillow's convert("RGB") to uint8 (H, W, 3). kind: "JPEG" or "PNG".  size: expected (H, W).

    DecodeError for damaged data or another size.
    """
    try:
        with open_header(data, kind) as image:
            check_size((image.height, image.width), size)
            return np.asarray(image.convert("RGB"))
    except DecodeError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for damaged files
        raise DecodeError(f"not a readable {kind} image: {pillow_message(error)}") from error


def open_header(data: bytes | np.ndarray, kind: str) -> Image.Image:
    """Open a JPEG or PNG file with Pillow, reading only its header.

    Pillow's limit of 179 million pixels, which is global to the process, is bypassed. Instead, DecodeError if an image
    of more than LARGE pixels is too large for the length of the file.
    """
    image_class, check = KINDS[kind]
    image = image_class(io.BytesIO(data))
    if image.width * image.height > LARGE:
        check(data)
    return image


def pillow_message(error: Exception) -> str:
    """The message of Pillow's error, without the memory address of the object that it read from."""
    text = str(error) or type(error).__name__
    return "its header is damaged" if "cannot identify image file" in text or text.startswith("not a ") else text
