"""Grayscale: all three channels become 0.2989 R + 0.587 G + 0.114 B, torchvision's weights."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, fma, load, splat, store, total
from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step

GRAYSCALE = 6  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Grayscale(Op):
    """Replace colour by its luminance, with probability 0.2 unless said."""

    rule = GRAYSCALE

    def __init__(
        self,
        p: float = 0.2,
        **common,
    ):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64, equal channels."""
    return np.broadcast_to(np.tensordot([0.2989, 0.587, 0.114], image, 1), image.shape)


@jit
def gray(r, g, b):
    """Vectors of red, green and blue -> a vector of gray."""
    return fma(b, splat(F32(0.114)), fma(g, splat(F32(0.587)), r * F32(0.2989)))


@jit
def kernel(tile):
    """Replace the colours of a tile (3 n,) float32 by their gray, in place."""
    n = tile.size // 3
    for i in range(0, n, LANES):
        y = gray(load(tile, i), load(tile, n + i), load(tile, 2 * n + i))
        store(tile, i, y)
        store(tile, n + i, y)
        store(tile, 2 * n + i, y)


@jit
def gray_sum(tile, place, width):
    """The sum of the gray of a row of a tile, from `place` on, float32; contrast needs the mean over the image."""
    n, i, end, sums = tile.size // 3, place, place + width, splat(F32(0.0))
    while i + LANES <= end:
        sums = sums + gray(load(tile, i), load(tile, n + i), load(tile, 2 * n + i))
        i += LANES
    rest = total(sums)
    while i < end:
        rest += F32(0.2989) * tile[i] + F32(0.587) * tile[n + i] + F32(0.114) * tile[2 * n + i]
        i += 1
    return rest


def tensor_gray(images):
    """images (N, 3, H, W) -> gray (N, 1, H, W)."""
    r, g, b = images.split(1, dim=1)
    return 0.2989 * r + 0.587 * g + 0.114 * b


def tensor(images):
    """images (N, 3, H, W)."""
    return tensor_gray(images).repeat(1, 3, 1, 1)


step(GRAYSCALE, "grayscale", reference=reference, tensor=tensor, on_rows=True)
