"""Horizontal flip: mirror left and right."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step

FLIP = 1  # the code of the step, as saved plans hold it


@OPS.register
class HorizontalFlip(Op):
    """Mirror left and right, with probability 0.5 unless said."""

    rule = FLIP

    def __init__(
        self,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W)."""
    return image[:, :, ::-1]


@jit(inline=True)
def kernel(tile, width, pitch):
    """Mirror the rows of a tile in place. Not used for the first step of a program: rows are then read backwards."""
    for start in range(0, tile.size, pitch):
        row = tile[start : start + width]
        for x in range(width // 2):
            row[x], row[width - 1 - x] = row[width - 1 - x], row[x]


def tensor(images):
    """images (N, 3, H, W)."""
    return images.flip(-1)


step(FLIP, "flip", reference=reference, tensor=tensor, on_rows=True)
