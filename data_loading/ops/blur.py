"""Gaussian blur: a true Gaussian of `sigma` pixels, cut at radius ceil(3 sigma) and normalised, edges reflected.

Equal to torchvision's gaussian_blur with kernel size 2 ceil(3 sigma) + 1. Pillow's GaussianBlur approximates by boxes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import correlate1d

from data_loading.jit import jit
from data_loading.ops.base import BLUR, OPS, Op, interval
from data_loading.rng import uniform

F32 = np.float32


@OPS.register
class GaussianBlur(Op):
    """Blur by a Gaussian whose sigma is drawn uniformly from an interval of pixels of the view."""

    rule = BLUR

    def __init__(
        self,
        sigma: tuple[float, float] = (0.1, 2.0),
        p: float = 0.5,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        super().__init__(p, name, share, seed, fixed)
        self.sigma = interval(self, "sigma", sigma, 0.01, 20.0)

    def params(self) -> list[float]:
        return list(self.sigma)


def reference(image: np.ndarray, sigma: float) -> np.ndarray:
    radius = min(math.ceil(3 * sigma), min(image.shape[1:]) - 1)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    return correlate1d(correlate1d(image.astype(float), taps, axis=2, mode="mirror"), taps, axis=1, mode="mirror")


@jit
def draw(params, state, op, arg, n):
    op[n] = BLUR
    arg[n, 0] = uniform(state, params[0], params[1])
    return n + 1


@jit
def reflect(i, n):
    """Index i of a line of n mirrored at its ends without repeating them; -n < i < 2 n - 1."""
    i = -i if i < 0 else i
    return 2 * (n - 1) - i if i >= n else i


@jit
def kernel(plane, scratch, line, sigma):
    """In place; scratch as plane; line float32 (at least W + 2 * 60 + 61): a padded row, then the taps."""
    _, height, width = plane.shape
    radius = min(int(math.ceil(F32(3.0) * sigma)), min(height, width) - 1)
    if radius == 0:
        return
    row, taps = line[: width + 2 * radius], line[line.size - radius - 1 :]
    total = 0.0
    for k in range(radius + 1):
        taps[k] = math.exp(-0.5 * (k / sigma) ** 2)
        total += taps[k] * (1.0 if k == 0 else 2.0)
    for k in range(radius + 1):
        taps[k] = taps[k] / F32(total)
    for c in range(3):
        for y in range(height):  # along rows, into scratch
            source, out = plane[c, y], scratch[c, y]
            row[radius : radius + width] = source
            for k in range(1, radius + 1):
                row[radius - k] = source[reflect(-k, width)]
                row[radius + width - 1 + k] = source[reflect(width - 1 + k, width)]
            centre, t = row[radius : radius + width], taps[0]
            for x in range(width):
                out[x] = t * centre[x]
            for k in range(1, radius + 1):
                left, right, t = row[radius - k : radius - k + width], row[radius + k : radius + k + width], taps[k]
                for x in range(width):
                    out[x] += t * (left[x] + right[x])
        for y in range(height):  # along columns, back
            out, centre, t = plane[c, y], scratch[c, y], taps[0]
            for x in range(width):
                out[x] = t * centre[x]
            for k in range(1, radius + 1):
                up, down, t = scratch[c, reflect(y - k, height)], scratch[c, reflect(y + k, height)], taps[k]
                for x in range(width):
                    out[x] += t * (up[x] + down[x])
