"""Vertical flip: mirror top and bottom."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit
from data_loading.ops.base import OPS, VERTICAL_FLIP, Op


@OPS.register
class VerticalFlip(Op):
    """Mirror top and bottom, with probability 0.5 unless said."""

    rule = VERTICAL_FLIP

    def __init__(self, p: float = 0.5, **common):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W)."""
    return image[:, ::-1]


@jit(inline=True)
def kernel(plane):
    _, height, width = plane.shape
    for c in range(3):
        for y in range(height // 2):
            for x in range(width):
                plane[c, y, x], plane[c, height - 1 - y, x] = plane[c, height - 1 - y, x], plane[c, y, x]
