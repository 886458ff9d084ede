"""Elastic: shift each pixel by a smooth random field, bilinear, black outside (Simard et al., ICDAR 2003).

The field is a 4 x 4 grid of normal displacements (standard deviation `sigma`, in units where the side is 2), spread
over the view by bicubic interpolation, as torch's interpolate(mode="bicubic", align_corners=True).
Directly after an Affine the two maps are composed and the image is resampled only once, which keeps it sharper.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import map_coordinates

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import normal, philox, tensor_normals, word
from data_loading.ops import affine
from data_loading.ops.affine import sample_row
from data_loading.ops.base import OPS, Op, copy_plane, within
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

ELASTIC = 10  # the code of the step, as saved plans hold it
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
    """Write step n: sigma, and a sampled key of two words, which determines the 32 displacements -> n + 1."""
    op[n] = ELASTIC
    arg[n, 0] = params[0]
    word_arg[n, 1] = word(state)
    word_arg[n, 2] = word(state)
    return n + 1


@jit
def displacements(key0, key1, sigma, field):
    """Write the x and y displacements of the grid points, in units where the side is 2, to field (2, 4, 4) float32."""
    for i in range(GRID * GRID):
        w = philox(U32(i), U32(0), U32(0), U32(0), key0, key1)
        dx, dy = normal(w[0], w[1])
        field[0, i // GRID, i % GRID] = dx * sigma
        field[1, i // GRID, i % GRID] = dy * sigma


@jit
def cubic(before, first, second, behind):
    """Coefficients of Keys' cubic with a = -0.75 between two of four numbers: c0 + c1 f + c2 f^2 + c3 f^3."""
    a, two, three = F32(-0.75), F32(2.0), F32(3.0)
    return (
        first,
        a * (before - second),
        -two * a * before - (a + three) * first + (two * a + three) * second + a * behind,
        a * (before - behind) + (a + two) * (first - second),
    )


@jit
def along(field, y, column):
    """Interpolate field (4, 4) in one of its columns at y from 0 to 3, in grid points; edges are repeated."""
    g = min(int(y), GRID - 2)
    c0, c1, c2, c3 = cubic(
        field[max(g - 1, 0), column], field[g, column], field[g + 1, column], field[min(g + 2, GRID - 1), column]
    )
    f = y - F32(g)
    return ((c3 * f + c2) * f + c1) * f + c0


@jit
def kernel(plane, scratch, field, sigma, key0, key1, matrix):
    """Displace plane (3, H, W) float32 in place.

    scratch: as plane.  field (2, 4, 4) float32: scratch.  key0, key1: uint32.  matrix (6,): the rows of (A | t) of an
    affine map just before, else of the identity; a pixel at p shows the input at A (p + d(p)) + t.
    """
    _, height, width = plane.shape
    displacements(key0, key1, sigma, field)
    copy_plane(plane, scratch)
    source, target, one = scratch.reshape(-1), plane.reshape(-1), F32(1.0)
    half_w, half_h = F32(width) * F32(0.5), F32(height) * F32(0.5)
    step = F32(GRID - 1) / F32(max(width - 1, 1))  # grid points from a pixel to the next
    for row in range(height):
        y, v0 = F32(row) * F32(GRID - 1) / F32(max(height - 1, 1)), F32(2 * row + 1) / F32(height) - one
        column = 0
        for g in range(GRID - 1):
            before, behind = max(g - 1, 0), min(g + 2, GRID - 1)
            x0, x1, x2, x3 = cubic(
                along(field[0], y, before), along(field[0], y, g), along(field[0], y, g + 1), along(field[0], y, behind)
            )
            y0, y1, y2, y3 = cubic(
                along(field[1], y, before), along(field[1], y, g), along(field[1], y, g + 1), along(field[1], y, behind)
            )
            while column < width and (F32(column) * step < F32(g + 1) or g == GRID - 2):
                f = F32(column) * step - F32(g)
                u = F32(2 * column + 1) / F32(width) - one + ((x3 * f + x2) * f + x1) * f + x0
                v = v0 + ((y3 * f + y2) * f + y1) * f + y0
                to = row * width + column
                target[to] = (matrix[0] * u + matrix[1] * v + matrix[2] + one) * half_w - F32(0.5)
                target[height * width + to] = (matrix[3] * u + matrix[4] * v + matrix[5] + one) * half_h - F32(0.5)
                column += 1
        sample_row(source, target, row * width, height, width, F32(0.0))


def reference(image: np.ndarray, sigma: float, key0: int, key1: int, *matrix: float) -> np.ndarray:
    """image (3, H, W) -> (3, H, W) float64; matrix: the six numbers of an affine map just before, or none."""
    field = np.empty((2, GRID, GRID), F32)
    displacements(U32(key0), U32(key1), F32(sigma), field)
    return reference_of_field(image, field, matrix or (1, 0, 0, 0, 1, 0))


def reference_of_field(image: np.ndarray, field: np.ndarray, matrix=(1, 0, 0, 0, 1, 0)) -> np.ndarray:
    """image (3, H, W) -> (3, H, W) float64; field (2, 4, 4): from `displacements`; matrix: as in `kernel`."""
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


def tensor(images, sigma, key0, key1, *matrix):
    """images (N, 3, H, W); sigma (N,); keys (N,) int64; matrix: six numbers (N,) each of an affine map just before."""
    import torch

    dx, dy, _, _ = tensor_normals(GRID * GRID, key0, key1)  # (N, 16)
    field = torch.stack([dx, dy], 1).view(-1, 2, GRID, GRID) * sigma[:, None, None, None]
    shift = torch.nn.functional.interpolate(field, images.shape[2:], mode="bicubic", align_corners=True)
    one, zero = torch.ones_like(sigma), torch.zeros_like(sigma)
    a, b, tx, c, d, ty = matrix or (one, zero, zero, zero, one, zero)
    return affine.tensor(images, a, b, tx, c, d, ty, shift)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    plane, spare = planes(image, scratch, height, width)
    arg, word, small = words(arg, word, small)
    matrix = small[1:7]
    if small[0] == F32(0.0):  # no affine map just before: the identity
        for i in range(6):
            matrix[i] = F32(1.0) if i == 0 or i == 4 else F32(0.0)
    kernel(plane, spare, small[16:48].reshape((2, GRID, GRID)), arg[0], word[1], word[2], matrix)


step(
    ELASTIC,
    "elastic",
    ("sigma", "key", "key"),
    reference=reference,
    tensor=tensor,
    image_kernel=image_kernel,
    joins=affine.AFFINE,
)
