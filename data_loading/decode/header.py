"""The size that an image file promises, read from its header alone: before anything is decoded or allocated."""

from __future__ import annotations

import struct

import numpy as np

from data_loading.errors import DecodeError

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the JPEG markers that carry a size
HUFFMAN = {0xC0, 0xC1, 0xC2}
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length behind them
END, SCAN = 0xD9, 0xDA
# Each block of 8 x 8 pixels takes a bit of a Huffman-coded JPEG at the least: 512 pixels a byte; and a margin of 2.
PIXELS_PER_BYTE = 1024
UNBOUND = (1 << 30) // 6  # pixels of other JPEGs: arithmetic coding bounds nothing by bytes, so Pillow's limit stays
MAX_SKIPPED = 1 << 16  # stray bytes; files that can be read have a few at most
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
DEFLATE = 1032  # zlib shrinks no data by more


def jpeg_size(data: bytes | np.ndarray) -> tuple[int, int]:
    """data: a JPEG file -> (height, width) in pixels. DecodeError where its header has none, has two, or has one that
    the file is far too short for (Huffman-coded) or that is above UNBOUND (coded otherwise)."""
    view = memoryview(data)
    if bytes(view[:2]) != b"\xff\xd8":
        raise DecodeError("not a readable JPEG image: it does not begin with FF D8")
    at, found, skipped = 2, None, 0
    while at + 4 <= len(view):
        if view[at] != 0xFF or view[at + 1] in (0x00, 0xFF):  # decoders skip bytes between segments, and so do we
            at, skipped = at + 1, skipped + 1
            if skipped > MAX_SKIPPED:
                break
            continue
        marker = view[at + 1]
        if marker in (END, SCAN):
            break
        if marker in ALONE:
            at += 2
            continue
        if marker in FRAMES and at + 9 <= len(view):
            size = struct.unpack(">HH", view[at + 5 : at + 9])
            if found and found != size:
                raise DecodeError("not a readable JPEG image: it has two sizes")
            found = size
            pixels = size[0] * size[1]
            if marker in HUFFMAN and pixels > PIXELS_PER_BYTE * len(view):
                raise _too_short("JPEG", size, len(view))
            if marker not in HUFFMAN and pixels > UNBOUND:
                raise DecodeError(
                    f"not a readable JPEG image: {size[1]} x {size[0]} pixels, and only baseline and progressive "
                    f"Huffman-coded ones may have more than {UNBOUND}; store it as such a JPEG or as PNG"
                )
        at += 2 + struct.unpack(">H", view[at + 2 : at + 4])[0]
    if not found or 0 in found:
        raise DecodeError("not a readable JPEG image: its header names no size")
    return found


def png_size(data: bytes | np.ndarray) -> tuple[int, int]:
    """data: a PNG file -> (height, width) in pixels; DecodeError as of jpeg_size."""
    view = memoryview(data)
    if bytes(view[:8]) != PNG_SIGNATURE or bytes(view[12:16]) != b"IHDR" or len(view) < 26:
        raise DecodeError("not a readable PNG image: it does not begin with a PNG's header")
    width, height, depth, colour = struct.unpack(">IIBB", view[16:26])
    if not (width and height and colour in PNG_CHANNELS and depth in (1, 2, 4, 8, 16)):
        raise DecodeError("not a readable PNG image: its header names no size")
    if height * width * depth * PNG_CHANNELS[colour] // 8 > DEFLATE * len(view):
        raise _too_short("PNG", (height, width), len(view))
    return height, width


def _too_short(kind: str, size: tuple[int, int], stored: int) -> DecodeError:
    return DecodeError(f"not a readable {kind} image: {size[1]} x {size[0]} pixels cannot come from {stored} bytes")
