"""Normalise: (x / 255 - mean) / std per channel, written straight into the batch; or rounded to uint8."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, fma, load, spread, store, store_bfloat16, store_float16
from data_loading.ops.base import OPS, is_number

F32 = np.float32
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@OPS.register
class Normalize:
    """Subtract mean and divide by standard deviation, per channel, both in units of 0..1; ImageNet's unless said."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        for given in (mean, std):
            if np.shape(given) != (3,) or not all(is_number(v) and math.isfinite(v) for v in given) or min(std) <= 0:
                raise ViewError(f"Normalize: mean {mean} and std {std} need three numbers each, std above 0")
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    def scale_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """scale and bias, float32 (3,) each: x scale + bias normalises x in 0..255."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (1 / (255 * std)).astype(F32), (-mean / std).astype(F32)


def reference(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64."""
    return (image / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))


def as_dtype(values: np.ndarray, kind: str) -> np.ndarray:
    """Convert numbers to what a batch stores: float32, uint8 (rounded half up), or the bits of 16-bit floats as int16.

    kind: "float32", "uint8", "float16" or "bfloat16".
    """
    values = values.astype(F32)
    if kind == "float32":
        return values
    if kind == "uint8":
        return np.floor(np.clip(values, 0, 255) + 0.5).astype(np.uint8)
    if kind == "float16":
        return values.astype(np.float16).view(np.int16)
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).view(np.int16)


@jit
def kernel(tile, row, width, scale, bias, out, place, step, edge):
    """Write x scale + bias of the row at `row` of a tile to out[place + c step :][:width], for each channel c.

    out: flat, float32 or uint8 (rounded).  scale, bias (3,) float32.  edge (16,) of out's dtype: scratch for the last
    vector of the row.
    """
    n = tile.size // 3
    for c in range(3):
        i, o = c * n + row, place + c * step
        end = o + width
        while o + LANES <= end:
            store(out, o, fma(load(tile, i), spread(scale, c), spread(bias, c)))
            i, o = i + LANES, o + LANES
        if o < end:
            store(edge, 0, fma(load(tile, i), spread(scale, c), spread(bias, c)))
            for k in range(end - o):
                out[o + k] = edge[k]


@jit
def kernel16(tile, row, width, scale, bias, brain, out, place, step, edge):
    """Write x scale + bias of the row at `row` of a tile to out[place + c step :][:width] as 16-bit floats.

    out, edge (16,): int16 arrays of the bits of bfloat16 if `brain`, else of float16.  scale, bias (3,) float32.
    """
    n = tile.size // 3
    for c in range(3):
        i, o = c * n + row, place + c * step
        end = o + width
        while o < end:
            v = fma(load(tile, i), spread(scale, c), spread(bias, c))
            whole = o + LANES <= end
            target, t = (out, o) if whole else (edge, 0)
            if brain:
                store_bfloat16(target, t, v)
            else:
                store_float16(target, t, v)
            if not whole:
                for k in range(end - o):
                    out[o + k] = edge[k]
            i, o = i + LANES, o + LANES


def tensor(images, mean: Sequence[float], std: Sequence[float]):
    """images (N, 3, H, W) in 0..255 -> normalised images."""
    mean, std = (images.new_tensor(values)[:, None, None] for values in (mean, std))
    return (images / 255 - mean) / std
