"""Image files of any kind, as they lie in folders and archives."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from data_loading.decode.header import PNG_SIGNATURE
from data_loading.decode.raw import opened, reason
from data_loading.errors import DecodeError

ORIENTATION = 0x0112  # the EXIF tag


class UprightJPEG(bytes):
    """The bytes of a JPEG file that can be stored as they are: RGB or grey, and not turned by EXIF."""


def read_image(data: bytes) -> np.ndarray | UprightJPEG:
    """An image file -> its own bytes if a JPEG can stay as it is, else uint8 (H, W, 3) RGB as Pillow makes it.

    What counts is the content, not the file's name. DecodeError when Pillow cannot read it, and for a file that
    promises more pixels than its bytes can hold (other kinds than JPEG and PNG: than Pillow's limit allows).
    """
    if not data:
        raise DecodeError("the file is empty")
    kind = "JPEG" if data[:2] == b"\xff\xd8" else "PNG" if data[:8] == PNG_SIGNATURE else None
    try:
        with opened(data, kind) if kind else Image.open(io.BytesIO(data)) as image:
            turned = _is_turned(image)
            if kind == "JPEG" and image.mode in ("RGB", "L") and not turned:
                return UprightJPEG(data)
            if turned:
                image = ImageOps.exif_transpose(image)
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")  # else Pillow warns; the colours are the same
            return np.asarray(image.convert("RGB"))
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError(
            f"not a readable image: {error}; store it as JPEG or PNG, which have no such limit"
        ) from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for damaged files
        raise DecodeError(f"not a readable {f'{kind} ' if kind else ''}image: {reason(error)}") from error


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the image stands otherwise than its pixels; 1 is upright, 0 is written for unknown."""
    try:
        return image.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # damaged tags say nothing of the orientation; the pixels may be whole
        return False
