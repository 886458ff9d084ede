"""Read the size of a JPEG or PNG from its header, before decoding, and refuse sizes that the bytes cannot hold."""

from __future__ import annotations

import struct

import numpy as np

from data_loading.errors import DecodeError

FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers SOF0 ... SOF15, which hold the size
HUFFMAN = {0xC0, 0xC1, 0xC2}  # baseline, extended and progressive, all Huffman-coded
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers that are not followed by a length
END, SCAN = 0xD9, 0xDA  # markers EOI, SOS
# A Huffman-coded JPEG needs at least one bit for each block of 8 x 8 pixels: 512 pixels a byte. Twice that is allowed.
PIXELS_PER_BYTE = 1024
UNBOUND = (1 << 30) // 6  # maximum pixels of other JPEGs, which have no such bound: Pillow's error limit
MAX_SKIPPED = 1 << 16  # stray bytes between segments; readable files have a few at most
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> channels
DEFLATE = 1032  # zlib's maximum compression ratio


def jpeg_size(data: bytes | np.ndarray) -> tuple[int, int]:
    """(height, width) in pixels of a JPEG file, from its header.

    DecodeError if the header has no size, two different sizes, or a size that is too large: for the length of the file
    if it is Huffman-coded, else above UNBOUND.
    """
    view = memoryview(data)
    if bytes(view[:2]) != b"\xff\xd8":
        raise DecodeError("not a readable JPEG image: it does not begin with FF D8")
    at, size, skipped = 2, None, 0
    while at + 4 <= len(view):
        if view[at] != 0xFF or view[at + 1] in (0x00, 0xFF):  # decoders skip stray bytes between segments
            at, skipped = at + 1, skipped + 1
            if skipped > MAX_SKIPPED:
                break
            continue
        marker = view[at + 1]
        if marker in (END, SCAN):
            break
        if marker in NO_LENGTH:
            at += 2
            continue
        if marker in FRAMES and at + 9 <= len(view):
            before, size = size, struct.unpack(">HH", view[at + 5 : at + 9])
            if before and before != size:
                raise DecodeError("not a readable JPEG image: its header has two different sizes")
            pixels = size[0] * size[1]
            if marker in HUFFMAN and pixels > PIXELS_PER_BYTE * len(view):
                raise _too_short("JPEG", size, len(view))
            if marker not in HUFFMAN and pixels > UNBOUND:
                raise DecodeError(
                    f"not a readable JPEG image: {size[1]} x {size[0]} pixels, but only baseline and progressive "
                    f"Huffman-coded JPEGs may have more than {UNBOUND}; store it as such a JPEG or as PNG"
                )
        at += 2 + struct.unpack(">H", view[at + 2 : at + 4])[0]
    if not size or 0 in size:
        raise DecodeError("not a readable JPEG image: its header has no size")
    return size


def png_size(data: bytes | np.ndarray) -> tuple[int, int]:
    """(height, width) in pixels of a PNG file, from its header. DecodeError if invalid or too large for the file."""
    view = memoryview(data)
    if bytes(view[:8]) != PNG_SIGNATURE or bytes(view[12:16]) != b"IHDR" or len(view) < 26:
        raise DecodeError("not a readable PNG image: it does not begin with a PNG header")
    width, height, depth, colour = struct.unpack(">IIBB", view[16:26])
    if not (width and height and colour in PNG_CHANNELS and depth in (1, 2, 4, 8, 16)):
        raise DecodeError("not a readable PNG image: its header has no valid size")
    if height * width * depth * PNG_CHANNELS[colour] // 8 > DEFLATE * len(view):
        raise _too_short("PNG", (height, width), len(view))
    return height, width


def _too_short(kind: str, size: tuple[int, int], stored: int) -> DecodeError:
    return DecodeError(f"not a readable {kind} image: {size[1]} x {size[0]} pixels cannot come from {stored} bytes")
