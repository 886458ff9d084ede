"""Grayscale: all three channels become 0.2989 R + 0.587 G + 0.114 B, torchvision's weights."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit
from data_loading.ops.base import GRAYSCALE, OPS, Op

F32 = np.float32


@OPS.register
class Grayscale(Op):
    """Replace colour by its luminance, with probability 0.2 unless said."""

    rule = GRAYSCALE

    def __init__(
        self,
        p: float = 0.2,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        super().__init__(p, name, share, seed, fixed)


def reference(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.tensordot([0.2989, 0.587, 0.114], image, 1), image.shape)


@jit
def gray(r, g, b):
    return F32(0.2989) * r + F32(0.587) * g + F32(0.114) * b


@jit
def kernel(plane):
    r, g, b = plane[0].reshape(-1), plane[1].reshape(-1), plane[2].reshape(-1)
    for i in range(r.size):
        y = gray(r[i], g[i], b[i])
        r[i] = y
        g[i] = y
        b[i] = y
