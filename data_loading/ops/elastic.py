"""Elastic: shift each pixel by a smooth random field, bilinear, black outside (Simard et al., ICDAR 2003).

The field is a 4 x 4 grid of normal displacements (standard deviation `sigma`, in units where the side is 2), spread
over the view by bicubic interpolation, as torch's interpolate(mode="bicubic", align_corners=True).
Directly after an Affine the two maps are composed and the image is resampled once, which keeps it sharper than twice.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import map_coordinates

from data_loading.jit import jit
from data_loading.ops.affine import sample
from data_loading.ops.base import ELASTIC, OPS, Op, copy_plane, within
from data_loading.rng import normal, philox, word

F32, U32 = np.float32, np.uint32
GRID = 4


@OPS.register
class Elastic(Op):
    """Bend the image by a smooth random displacement of standard deviation `sigma` (the side is 2)."""

    rule = ELASTIC

    def __init__(
        self,
        sigma: float = 0.07,
        p: float = 1.0,
        **common,
    ):
        super().__init__(p, **common)
        self.sigma = within(self, "sigma", sigma, 0.0, 1.0)

    def params(self) -> list[float]:
        return [self.sigma]


@jit(inline=True)
def draw(params, state, op, arg, word_arg, n):
    """The strength, and a key of two words from which the 32 displacements are drawn."""
    op[n] = ELASTIC
    arg[n, 0] = params[0]
    word_arg[n, 1] = word(state)
    word_arg[n, 2] = word(state)
    return n + 1


@jit
def displacements(key0, key1, sigma, field):
    """field (2, 4, 4) float32: x and y displacement of the grid points."""
    for i in range(GRID * GRID):
        w = philox(U32(i), U32(0), U32(0), U32(0), key0, key1)
        dx, dy = normal(w[0], w[1])
        field[0, i // GRID, i % GRID] = dx * sigma
        field[1, i // GRID, i % GRID] = dy * sigma


@jit
def cubic(t, k):
    """Weight k (0..3) of the four neighbours at fraction t, Keys' cubic with a = -0.75."""
    a = F32(-0.75)
    d = abs(t + F32(1.0) - F32(k))
    if d <= F32(1.0):
        return ((a + F32(2.0)) * d - (a + F32(3.0))) * d * d + F32(1.0)
    return ((a * d - F32(5.0) * a) * d + F32(8.0) * a) * d - F32(4.0) * a


@jit
def spread(field, height, width, row, column):
    """Bicubic value of field (4, 4) at pixel (row, column) of a height x width view; edges repeated."""
    y = F32(row) * F32(GRID - 1) / F32(max(height - 1, 1))
    x = F32(column) * F32(GRID - 1) / F32(max(width - 1, 1))
    y0, x0 = min(int(y), GRID - 1), min(int(x), GRID - 1)
    value = F32(0.0)
    for j in range(4):
        line = F32(0.0)
        source = field[min(max(y0 - 1 + j, 0), GRID - 1)]
        for i in range(4):
            line += cubic(x - F32(x0), i) * source[min(max(x0 - 1 + i, 0), GRID - 1)]
        value += cubic(y - F32(y0), j) * line
    return value


@jit
def kernel(plane, scratch, field, sigma, key0, key1, matrix):
    """In place; matrix (6,) is the affine map (A | t) just before: both are one resampling, at A (p + d(p)) + t."""
    _, height, width = plane.shape
    displacements(key0, key1, sigma, field)
    copy_plane(plane, scratch)
    half_w, half_h = F32(width) * F32(0.5), F32(height) * F32(0.5)
    for row in range(height):
        for column in range(width):
            u = F32(2 * column + 1) / F32(width) - F32(1.0) + spread(field[0], height, width, row, column)
            v = F32(2 * row + 1) / F32(height) - F32(1.0) + spread(field[1], height, width, row, column)
            x = (matrix[0] * u + matrix[1] * v + matrix[2] + F32(1.0)) * half_w - F32(0.5)
            y = (matrix[3] * u + matrix[4] * v + matrix[5] + F32(1.0)) * half_h - F32(0.5)
            sample(scratch, plane, row, column, y, x)


def reference(image: np.ndarray, field: np.ndarray, matrix=(1, 0, 0, 0, 1, 0)) -> np.ndarray:
    """image (3, H, W); field (2, 4, 4) displacements as `displacements` writes them; matrix as `kernel` takes it."""
    _, height, width = image.shape

    def weights(n: int) -> np.ndarray:
        """(n, 4): each pixel's weights of the four grid points, repeated edges folded in."""
        out = np.zeros((n, GRID))
        for i in range(n):
            at = i * (GRID - 1) / max(n - 1, 1)
            for k in range(math.floor(at) - 1, math.floor(at) + 3):
                d, a = abs(at - k), -0.75
                near, far = (a + 2) * d**3 - (a + 3) * d**2 + 1, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
                out[i, min(max(k, 0), GRID - 1)] += near if d <= 1 else far if d < 2 else 0.0
        return out

    dx, dy = (weights(height) @ f.astype(float) @ weights(width).T for f in field)
    v, u = np.meshgrid((2 * np.arange(height) + 1) / height - 1, (2 * np.arange(width) + 1) / width - 1, indexing="ij")
    u, v = u + dx, v + dy
    a, b, tx, c, d, ty = (float(value) for value in matrix)
    at = [((c * u + d * v + ty + 1) * height - 1) / 2, ((a * u + b * v + tx + 1) * width - 1) / 2]
    return np.stack([map_coordinates(p.astype(float), at, order=1, mode="grid-constant") for p in image])
