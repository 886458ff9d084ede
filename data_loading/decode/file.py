"""Read image files of any format that Pillow supports, as found in folders and archives."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps

from data_loading.decode.depth import in_16_bits, to_rgb
from data_loading.decode.header import PNG_SIGNATURE
from data_loading.decode.raw import open_header, pillow_message
from data_loading.errors import DecodeError

ORIENTATION = 0x0112  # the EXIF tag


class UprightJPEG(bytes):
    """The bytes of a JPEG file that can be stored unchanged: RGB or grey, without EXIF rotation."""


def read_image(data: bytes) -> np.ndarray | UprightJPEG:
    """Read the bytes of an image file; the format is detected from the content.

    Returns UprightJPEG (the bytes, not decoded) for a JPEG that can be stored unchanged, else uint8 (H, W, 3) RGB as
    Pillow's convert("RGB") gives it, rotated as EXIF says; 16-bit grey is scaled by its range, which is said once.
    DecodeError if Pillow cannot read the file, if its pixels are 32-bit integers or floats, whose range is unknown, or
    if its header states more pixels than the bytes can encode (JPEG and PNG) or than Pillow's limit allows (others).
    """
    if not data:
        raise DecodeError("the file is empty")
    kind = "JPEG" if data[:2] == b"\xff\xd8" else "PNG" if data[:8] == PNG_SIGNATURE else None
    try:
        with open_header(data, kind) if kind else Image.open(io.BytesIO(data)) as image:
            rotated, sixteen = _is_rotated(image), in_16_bits(image)
            if kind == "JPEG" and image.mode in ("RGB", "L") and not rotated:
                return UprightJPEG(data)
            if rotated:
                image = ImageOps.exif_transpose(image)
            if image.mode == "P" and "transparency" in image.info:
                image = image.convert("RGBA")  # avoids a warning of Pillow; does not change the colours
            return to_rgb(image, sixteen)
    except DecodeError:
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError(
            f"not a readable image: {error}; store it as JPEG or PNG, which have no such limit"
        ) from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error, ... for damaged files
        raise DecodeError(f"not a readable {f'{kind} ' if kind else ''}image: {pillow_message(error)}") from error


def _is_rotated(image: Image.Image) -> bool:
    """Whether EXIF orientation is 2 to 8 (rotated or mirrored). 1 is upright; some cameras write 0 for unknown."""
    try:
        return image.getexif().get(ORIENTATION, 1) in range(2, 9)
    except Exception:  # unreadable tags; the pixels may still be intact
        return False
