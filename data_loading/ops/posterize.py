"""Posterize: round to integer levels, then keep the highest `bits` bits of each, as Pillow does."""

from __future__ import annotations

import math

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, floor, load, store
from data_loading.ops.base import OPS, Op, magnitude, magnitude_params
from data_loading.ops.step import step

POSTERIZE = 17  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Posterize(Op):
    """Keep the highest `bits` (0 to 8) bits of each value; if sampled from an interval, they are rounded.

    bins: 0 samples uniformly from the interval, n one of n equidistant values.
    """

    rule = POSTERIZE

    def __init__(self, bits: float | tuple[float, float] = 4.0, bins: int = 0, p: float = 0.5, **common):
        super().__init__(p, **common)
        self.bits = magnitude_params(self, "bits", bits, 0.0, 8.0, bins, about=None)

    def params(self) -> list[float]:
        return self.bits


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample the number of bits, rounded to an integer, and write step n -> n + 1."""
    op[n] = POSTERIZE
    arg[n, 0] = np.rint(magnitude(params, state))
    return n + 1


def reference(image: np.ndarray, bits: float) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64; bits: 0 to 8."""
    step = 2 ** (8 - int(bits))
    return np.floor(image + 0.5) // step * step


@jit(inline=True)
def kernel(tile, bits):
    """Posterize a tile, flat float32 of three channels, in place."""
    step = F32(math.pow(2.0, 8.0 - bits))  # a power of two, so that products are exact
    share = F32(1.0) / step
    for i in range(0, tile.size, LANES):
        store(tile, i, floor(floor(load(tile, i) + F32(0.5)) * share) * step)


def tensor(images, bits):
    """images (N, 3, H, W), bits (N,)."""
    dropped = (8 - bits).long()[:, None, None, None]
    return ((images + 0.5).long() >> dropped << dropped).to(images.dtype)


step(POSTERIZE, "posterize", ("bits",), reference=reference, tensor=tensor, on_rows=True, on_values=True)
