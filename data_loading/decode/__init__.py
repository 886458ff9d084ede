"""Decode: the stored bytes of an image -> uint8 (H, W, 3) RGB, into a reused buffer where one is given."""

JPEG, RAW, PNG = 0, 1, 2  # the mode byte of a .beton file's image column

from data_loading.decode.jpeg import decode_jpeg  # noqa: E402
from data_loading.decode.png import decode_png  # noqa: E402
from data_loading.decode.raw import decode_raw  # noqa: E402

__all__ = ["JPEG", "PNG", "RAW", "decode_jpeg", "decode_png", "decode_raw"]
