"""Invert: 255 - v, at least 0.

A resized value may be a few hundredths above 255, and the int16 plane between two passes takes no negative numbers.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, load, maximum, splat, store
from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step

INVERT = 16  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Invert(Op):
    """Turn the image into its negative."""

    rule = INVERT


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W) in 0..255."""
    return 255 - image


@jit(inline=True)
def kernel(tile):
    """Invert a tile, flat float32 of three channels, in place."""
    for i in range(0, tile.size, LANES):
        store(tile, i, maximum(F32(255.0) - load(tile, i), splat(F32(0.0))))


def tensor(images):
    """images (N, 3, H, W)."""
    return 255 - images


step(INVERT, "invert", reference=reference, tensor=tensor, on_rows=True, on_values=True)
