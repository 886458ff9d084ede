"""Decoders: the stored bytes of an image to uint8 (H, W, 3) RGB, optionally into a reused buffer."""

JPEG, RAW, PNG = 0, 1, 2  # values of `mode` in the image records of a .beton file

from data_loading.decode.jpeg import decode_jpeg  # noqa: E402
from data_loading.decode.png import decode_png  # noqa: E402
from data_loading.decode.raw import decode_raw  # noqa: E402

__all__ = ["JPEG", "PNG", "RAW", "decode_jpeg", "decode_png", "decode_raw"]
