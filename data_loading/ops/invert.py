"""Invert: 255 - v."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit
from data_loading.ops.base import INVERT, OPS, Op
from data_loading.simd import LANES, load, store

F32 = np.float32


@OPS.register
class Invert(Op):
    """Turn the image into its negative."""

    rule = INVERT


def reference(image: np.ndarray) -> np.ndarray:
    return 255 - image


@jit(inline=True)
def kernel(tile):
    for i in range(0, tile.size, LANES):
        store(tile, i, F32(255.0) - load(tile, i))


def tensor(images):
    return 255 - images
