"""Normalise: (x / 255 - mean) / std per channel, written straight into the batch; or rounded to uint8."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_loading.errors import ViewError
from data_loading.jit import jit
from data_loading.ops.base import OPS

F32, U8 = np.float32, np.uint8
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@OPS.register
class Normalize:
    """Subtract mean and divide by standard deviation, per channel, both in units of 0..1; ImageNet's unless said."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD):
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ViewError(f"Normalize: mean {tuple(mean)} and std {tuple(std)} need three numbers each, std above 0")
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    def scale_bias(self) -> tuple[np.ndarray, np.ndarray]:
        """x scale + bias does it from 0..255: two float32 (3,)."""
        mean, std = np.asarray(self.mean), np.asarray(self.std)
        return (1 / (255 * std)).astype(F32), (-mean / std).astype(F32)


def reference(image: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    return (image / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))


@jit
def kernel(plane, scale, bias, out):
    """plane (3, H, W) float32 in 0..255 -> out (3, H, W) float32."""
    for c in range(3):
        source, target, a, b = plane[c].reshape(-1), out[c].reshape(-1), scale[c], bias[c]
        for i in range(source.size):
            target[i] = source[i] * a + b


@jit
def quantize(plane, out):
    """The one rounding: plane (3, H, W) float32 in 0..255 -> out uint8, half up."""
    for c in range(3):
        source, target = plane[c].reshape(-1), out[c].reshape(-1)
        for i in range(source.size):
            target[i] = U8(np.int32(min(max(source[i], F32(0.0)), F32(255.0)) + F32(0.5)))
