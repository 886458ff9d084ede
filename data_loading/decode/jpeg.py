"""Decode and encode JPEG with simplejpeg (libjpeg-turbo): Pillow's and OpenCV's pixels, faster, without the GIL."""

from __future__ import annotations

import numpy as np
import simplejpeg

from data_loading.decode.raw import check_size, copy_into, decode_with_pillow

# Colour spaces that libjpeg-turbo converts to RGB. CMYK is left to Pillow: simplejpeg differs by up to 2 levels.
DIRECT = ("YCbCr", "Gray", "RGB")


def decode_jpeg(
    data: bytes | np.ndarray,
    buffer: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    half: bool = False,
    fast_dct: bool = False,
) -> np.ndarray:
    """Decode a JPEG to uint8 (H, W, 3) RGB, with the pixels of Pillow's convert("RGB").

    data: the file as bytes or uint8 (n,).
    buffer: uint8 1-D; if it is large enough, the result is a view of its first H * W * 3 bytes.
    size: expected (H, W), checked before pixels are allocated.
    half: decode at half size, (ceil(H / 2), ceil(W / 2), 3); ignored if Pillow decodes (CMYK).
    fast_dct: libjpeg's fast DCT, which changes values by about 1 level on average.
    DecodeError if Pillow cannot read the file either, or if it has another size.
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
    except ValueError:  # simplejpeg also refuses harmless damage, such as stray bytes before a marker, so try Pillow
        pass
    return copy_into(buffer, decode_with_pillow(data, "JPEG", size))


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """Encode uint8 (H, W, 3) RGB as a baseline JPEG with 4:2:0 chroma subsampling, as FFCV does. quality: 1 to 100."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420", fastdct=False)
