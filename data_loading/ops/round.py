"""Round: to the nearest integer level, halves up, as between the ops of 8-bit images."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, floor, load, store
from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step

ROUND = 15  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Round(Op):
    """Round to whole levels, as 8-bit images are between two ops; what depends on a threshold may ask for it."""

    rule = ROUND


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W) -> (3, H, W) float64."""
    return np.floor(image + 0.5)


@jit(inline=True)
def kernel(tile):
    """Round a tile, flat float32 of three channels, in place."""
    for i in range(0, tile.size, LANES):
        store(tile, i, floor(load(tile, i) + F32(0.5)))


def tensor(images):
    """images (N, 3, H, W)."""
    return (images + 0.5).floor()


step(ROUND, "round", reference=reference, tensor=tensor, on_rows=True, on_values=True)
