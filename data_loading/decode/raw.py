"""Raw pixels: height * width * 3 bytes, RGB, row-major; and what the decoders share, Pillow's part among it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from data_loading.decode.header import jpeg_size, png_size
from data_loading.errors import DecodeError

KINDS = {"JPEG": (JpegImageFile, jpeg_size), "PNG": (PngImageFile, png_size)}
LARGE = 1 << 26  # pixels; what promises more must have the bytes for it


def decode_raw(data: bytes | np.ndarray, height: int, width: int) -> np.ndarray:
    """data (height * width * 3,) uint8 -> (height, width, 3) uint8, a view of it; DecodeError for another length."""
    pixels = np.frombuffer(data, np.uint8)
    if pixels.size != height * width * 3:
        raise DecodeError(f"raw image of {width} x {height}: {pixels.size} bytes, expected {height * width * 3}")
    return pixels.reshape(height, width, 3)


def into(buffer: np.ndarray | None, image: np.ndarray) -> np.ndarray:
    """image (H, W, 3) uint8, copied to the front of `buffer` (1-D) where that is large enough, else as it is."""
    if buffer is None or buffer.size < image.size:
        return np.ascontiguousarray(image)
    out = buffer[: image.size].reshape(image.shape)
    out[:] = image
    return out


def check_size(found: tuple[int, int], size: tuple[int, int] | None) -> None:
    """A DecodeError where an image's header says another (H, W) than the file's table does."""
    if size is not None and found != size:
        raise DecodeError(
            f"the image is {found[1]} x {found[0]}, the file's table says {size[1]} x {size[0]}; write the file again"
        )


def by_pillow(data: bytes | np.ndarray, kind: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """What Pillow's convert("RGB") makes of a file of one `kind` ("JPEG", "PNG"): (H, W, 3) uint8, or DecodeError."""
    try:
        with opened(data, kind) as image:
            check_size((image.height, image.width), size)
            return np.asarray(image.convert("RGB"))
    except DecodeError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for damaged files
        raise DecodeError(f"not a readable {kind} image: {reason(error)}") from error


def opened(data: bytes | np.ndarray, kind: str) -> Image.Image:
    """Pillow's image of a JPEG or PNG file, of which only the header has been read.

    Pillow's limit of 179 million pixels does not hold: it belongs to the whole process, and knows nothing of the file.
    Here an image may be as large as its bytes can make it.
    """
    open_header, promised = KINDS[kind]
    image = open_header(io.BytesIO(data))
    if image.width * image.height > LARGE:
        promised(data)
    return image


def reason(error: Exception) -> str:
    """The words of Pillow's error, without the address of the object that it read from."""
    text = str(error) or type(error).__name__
    return "its header is damaged" if "cannot identify image file" in text or text.startswith("not a ") else text
