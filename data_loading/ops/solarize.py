"""Solarize: invert every value at or above `threshold`, as Pillow does. BYOL, DINO: second view, p = 0.2."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit
from data_loading.ops.base import OPS, SOLARIZE, Op, within

F32 = np.float32


@OPS.register
class Solarize(Op):
    """Invert every value at or above `threshold` (0 to 255), with probability 0.2 unless said."""

    rule = SOLARIZE

    def __init__(
        self,
        threshold: float = 128.0,
        p: float = 0.2,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        super().__init__(p, name, share, seed, fixed)
        self.threshold = within(self, "threshold", threshold, 0.0, 256.0)

    def params(self) -> list[float]:
        return [self.threshold]


def reference(image: np.ndarray, threshold: float) -> np.ndarray:
    return np.where(image >= threshold, 255 - image, image)


@jit
def kernel(plane, threshold):
    flat = plane.reshape(-1)
    for i in range(flat.size):
        flat[i] = F32(255.0) - flat[i] if flat[i] >= threshold else flat[i]
