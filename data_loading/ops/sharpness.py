"""Sharpness: f x + (1 - f) smooth, clamped to 0..255, as Pillow's ImageEnhance.Sharpness.

smooth: the mean of a pixel and its eight neighbours, the pixel itself counted five times; pixels at the border stay.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, fma, load, splat, store
from data_loading.ops.base import OPS
from data_loading.ops.color_jitter import OneFactor, clamp, tensor_blend
from data_loading.ops.step import step

SHARPNESS = 20  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Sharpness(OneFactor):
    """Blur (factor below 1) or sharpen (above 1) by a factor."""

    rule = SHARPNESS


def reference(image: np.ndarray, factor: float) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64."""
    smooth = image.astype(np.float64)
    _, h, w = image.shape
    if h > 2 and w > 2:
        around = sum(
            image[:, dy : h - 2 + dy, dx : w - 2 + dx].astype(np.float64) for dy in range(3) for dx in range(3)
        )
        smooth[:, 1:-1, 1:-1] = (around + 4 * image[:, 1:-1, 1:-1]) / 13
    return np.clip(image * factor + smooth * (1 - factor), 0, 255)


@jit
def radius(side):
    """How many rows above and below a pixel count: 1, or 0 in a view that has only border pixels."""
    return 1 if side > 2 else 0


@jit
def keep(tile, row, pitch, ring, place):
    """Copy the row of a tile that starts at `row` to ring[place :], three channels of `pitch` values, float32."""
    n, o = tile.size // 3, place
    for c in range(3):
        for i in range(c * n + row, c * n + row + pitch, LANES):
            store(ring, o, load(tile, i))
            o += LANES


@jit
def kernel(ring, y, side, factor, sums, tile):
    """Sharpen row y of a view. `keep` has written rows y - 1, y and y + 1 to the ring, each to place number mod 3.

    ring: flat float32, three rows of tile.size values.  tile: flat float32 of three channels, written.
    sums (tile.size / 3 + 2 LANES,) float32: scratch, of which the first vector stays 0.
    """
    n, pitch = tile.size, tile.size // 3
    above, here, below = (y + 2) % 3 * n, y % 3 * n, (y + 1) % 3 * n
    if y == 0 or y == side - 1:
        for i in range(0, n, LANES):
            store(tile, i, load(ring, here + i))
        return
    around = (F32(1.0) - factor) * F32(1 / 13)
    centre = factor + F32(4.0) * around
    for c in range(0, n, pitch):
        for i in range(0, pitch, LANES):
            store(sums, LANES + i, load(ring, above + c + i) + load(ring, here + c + i) + load(ring, below + c + i))
        for i in range(0, pitch, LANES):
            total = load(sums, LANES - 1 + i) + load(sums, LANES + i) + load(sums, LANES + 1 + i)
            store(tile, c + i, clamp(fma(total, splat(around), load(ring, here + c + i) * centre)))
        tile[c], tile[c + side - 1] = ring[here + c], ring[here + c + side - 1]


def tensor(images, factor):
    """images (N, 3, H, W), factor (N,)."""
    h, w = images.shape[2:]
    around = sum(images[:, :, dy : h - 2 + dy, dx : w - 2 + dx] for dy in range(3) for dx in range(3))
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = (around + 4 * images[:, :, 1:-1, 1:-1]) / 13
    return tensor_blend(images, smooth, factor)


step(SHARPNESS, "sharpness", ("factor",), reference=reference, tensor=tensor)
