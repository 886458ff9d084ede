"""JPEG through libjpeg-turbo (simplejpeg): bit-equal to Pillow and OpenCV, faster, and without the GIL."""

from __future__ import annotations

import numpy as np
import simplejpeg

from data_loading.decode.raw import by_pillow, check_size, into

# What libjpeg-turbo turns into RGB itself. CMYK is left to Pillow: simplejpeg rounds otherwise (by up to 2 levels).
DIRECT = ("YCbCr", "Gray", "RGB")


def decode_jpeg(
    data: bytes | np.ndarray,
    buffer: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    half: bool = False,
    fast_dct: bool = False,
) -> np.ndarray:
    """data: a JPEG file as bytes or uint8 (n,) -> (H, W, 3) uint8 RGB, as Pillow's convert("RGB") gives it.

    buffer: uint8 1-D; the result is a view of its front when it is large enough, else memory of its own.
    size: the (H, W) that the image must have; checked before anything of that size is allocated.
    half: (ceil(H / 2), ceil(W / 2), 3), scaled by the decoder where it can (not CMYK).  fast_dct: libjpeg's quick DCT,
    which shifts colours by about a level.
    A file that Pillow cannot read either, or of another size, is a DecodeError.
    """
    try:
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
        if colour in DIRECT:
            check_size((height, width), size)
            least = {}
            if half:
                height, width = -(-height // 2), -(-width // 2)
                least = {"min_height": height, "min_width": width}
            fits = buffer is not None and buffer.size >= height * width * 3
            return simplejpeg.decode_jpeg(data, fastdct=fast_dct, buffer=buffer if fits else None, **least)
    except ValueError:  # simplejpeg also refuses harmless faults, such as stray bytes before a marker: Pillow decides
        pass
    return into(buffer, by_pillow(data, "JPEG", size))


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """image (H, W, 3) uint8 RGB -> a baseline JPEG with halved chroma (4:2:0), as FFCV writes it."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420", fastdct=False)
