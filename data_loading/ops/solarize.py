"""Solarize: invert every value at or above `threshold`, as Pillow does. BYOL, DINO: second view, p = 0.2."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, load, maximum, splat, store, where_at_least
from data_loading.ops.base import OPS, Op, magnitude_params
from data_loading.ops.step import step

SOLARIZE = 8  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Solarize(Op):
    """Invert every value at or above `threshold` (0 to 256), with probability 0.2 unless said.

    threshold: a number, or an interval from which it is sampled.  bins: 0 samples uniformly from the interval, n one of
    n equidistant values.
    """

    rule = SOLARIZE

    def __init__(self, threshold: float | tuple[float, float] = 128.0, bins: int = 0, p: float = 0.2, **common):
        super().__init__(p, **common)
        self.threshold = magnitude_params(self, "threshold", threshold, 0.0, 256.0, bins, about=None)

    def params(self) -> list[float]:
        return self.threshold


def reference(image: np.ndarray, threshold: float) -> np.ndarray:
    """image (3, H, W) in 0..255; threshold: 0 to 256."""
    return np.where(image >= threshold, 255 - image, image)


@jit(inline=True)
def kernel(tile, threshold):
    """Solarize a tile, float32 in 0..255, in place: |c - v|, c = 255 at or above the threshold, else 0.

    Choosing between 255 - v and v would compile to a masked store, which is many times slower on some processors.
    """
    for i in range(0, tile.size, LANES):
        v = load(tile, i)
        c = where_at_least(v, splat(threshold), splat(F32(255.0)), splat(F32(0.0)))
        store(tile, i, maximum(c - v, v - c))


def tensor(images, threshold):
    """images (N, 3, H, W), threshold (N,)."""
    return images.where(images < threshold[:, None, None, None], 255 - images)


step(SOLARIZE, "solarize", ("threshold",), reference=reference, tensor=tensor, on_rows=True, on_values=True)
