"""Autocontrast: per channel, stretch the levels so that they reach from 0 to 255, as Pillow's ImageOps.autocontrast.

Values are first rounded to integer levels. With lowest level lo and highest hi, level i becomes, cut to an integer,
    255 / (hi - lo) i - 255 / (hi - lo) lo;
a channel of one level stays unchanged.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops.base import OPS, Op
from data_loading.ops.histogram import highest, lowest, tensor_levels, tensor_look_up
from data_loading.ops.step import step

AUTOCONTRAST = 22  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class AutoContrast(Op):
    """Stretch each channel's levels so that they reach from 0 to 255."""

    rule = AUTOCONTRAST

    def __init__(self, p: float = 0.5, **common):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64, integer levels."""
    out = np.floor(image + 0.5)
    for channel in out:
        low, high = channel.min(), channel.max()
        if high > low:
            scale = 255 / (high - low)
            channel[:] = np.clip((channel * scale - low * scale).astype(int), 0, 255)
    return out


@jit
def fill_table(extremes, table):
    """Write the level that each level becomes: table (3, 256) float32, flat; extremes: of `histogram.find_extremes`."""
    for c in range(3):
        low, high = lowest(extremes, c), highest(extremes, c)
        scale = 255.0 / max(high - low, 1)  # float64: the last bit decides whether 254.99... becomes 254
        offset = -low * scale
        for level in range(256):
            stretched = F32(min(max(int(level * scale + offset), 0), 255))
            table[256 * c + level] = stretched if high > low else F32(level)


def tensor(images):
    """images (N, 3, H, W)."""
    levels = tensor_levels(images)
    low, high = levels.amin(1, keepdim=True), levels.amax(1, keepdim=True)  # (3 N, 1)
    # As in the kernel, because the last bit decides; torch computes number / tensor by the reciprocal.
    scale = levels.new_tensor(255).double() / (high - low).clamp(min=1)
    same = levels.new_tensor(range(256))
    table = (same * scale - low * scale).long().clamp(0, 255)
    return tensor_look_up(images, levels, table.where(high > low, same))


step(AUTOCONTRAST, "autocontrast", reference=reference, tensor=tensor)
