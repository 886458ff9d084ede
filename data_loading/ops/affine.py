"""Affine: rotate, shear, scale and shift about the centre, bilinear, black outside; one resampling.

Output position (u, v) in -1..1 reads the input at  A (u, v) + t  (torch's affine_grid and grid_sample,
align_corners=False, padding zeros).  A = rotation x [[sx, sx shear], [0, sy]],  sx = scale e^a, sy = scale e^-a.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import map_coordinates

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import uniform
from data_loading.kernel.simd import at
from data_loading.ops.base import OPS, Op, copy_plane, interval, within
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

AFFINE = 9  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Affine(Op):
    """Rotate, shear, scale and shift about the centre.

    degrees: rotation sampled from [-degrees, degrees].  shear: tangent, from [-shear, shear].
    translate: shift as a fraction of the side, from [-translate, translate] in x and in y.
    scale: factor of the picture's size, log-uniform in the interval.
    aspect: half the logarithm of the axes' ratio, from [-aspect, aspect].
    """

    rule = AFFINE

    def __init__(
        self,
        degrees: float = 0.0,
        translate: float = 0.0,
        scale: tuple[float, float] = (1.0, 1.0),
        shear: float = 0.0,
        aspect: float = 0.0,
        p: float = 1.0,
        **common,
    ):
        super().__init__(p, **common)
        self.degrees = within(self, "degrees", degrees, 0.0, 180.0)
        self.translate = within(self, "translate", translate, 0.0, 1.0)
        self.scale = interval(self, "scale", scale, 0.05, 20.0)
        self.shear = within(self, "shear", shear, 0.0, 2.0)
        self.aspect = within(self, "aspect", aspect, 0.0, 1.0)

    def params(self) -> list[float]:
        """degrees in radians, translate, the logarithms of scale (low, high), shear and aspect."""
        return [math.radians(self.degrees), self.translate, *map(math.log, self.scale), self.shear, self.aspect]


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample the map and write step n, the six numbers of the rows of (A | t) -> n + 1."""
    angle = uniform(state, -params[0], params[0])
    tx = uniform(state, -2.0 * params[1], 2.0 * params[1])  # the side is 2 in the units of (u, v)
    ty = uniform(state, -2.0 * params[1], 2.0 * params[1])
    zoom = -uniform(state, params[2], params[3])  # a larger picture reads a smaller part
    shear = uniform(state, -params[4], params[4])
    aspect = uniform(state, -params[5], params[5])
    sx, sy, c, s = math.exp(zoom + aspect), math.exp(zoom - aspect), math.cos(angle), math.sin(angle)
    op[n] = AFFINE
    arg[n, 0], arg[n, 1], arg[n, 2] = c * sx, c * sx * shear - s * sy, tx
    arg[n, 3], arg[n, 4], arg[n, 5] = s * sx, s * sx * shear + c * sy, ty
    return n + 1


def reference(image: np.ndarray, a: float, b: float, tx: float, c: float, d: float, ty: float) -> np.ndarray:
    """image (3, H, W) -> (3, H, W) float64; the six numbers are the rows of (A | t)."""
    _, height, width = image.shape
    v, u = np.meshgrid((2 * np.arange(height) + 1) / height - 1, (2 * np.arange(width) + 1) / width - 1, indexing="ij")
    x = ((a * u + b * v + tx + 1) * width - 1) / 2
    y = ((c * u + d * v + ty + 1) * height - 1) / 2
    return np.stack([map_coordinates(p.astype(float), [y, x], order=1, mode="grid-constant") for p in image])


@jit
def sample_row(source, target, first, height, width, outside):
    """Fill a row of the target with the source at real positions, bilinear; `outside` is the value outside the source.

    source, target: flat (3 height width,) float32. The positions, x and y in pixels from the centre of the top left
    pixel, are read from the row itself, which starts at `first`: x in its first channel, y in its second.
    """
    size, one = height * width, F32(1.0)
    for to in range(first, first + width):
        x, y = at(target, to), at(target, to + size)
        x0, y0 = int(math.floor(x)), int(math.floor(y))
        fx, fy, i = x - F32(x0), y - F32(y0), y0 * width + x0
        left, right = 0 <= x0 < width, -1 <= x0 < width - 1
        upper, lower = 0 <= y0 < height, -1 <= y0 < height - 1
        for c in range(3):
            a = at(source, i) if upper and left else outside
            b = at(source, i + 1) if upper and right else outside
            d = at(source, i + width) if lower and left else outside
            e = at(source, i + width + 1) if lower and right else outside
            target[to + c * size] = (a * (one - fx) + b * fx) * (one - fy) + (d * (one - fx) + e * fx) * fy
            i += size


@jit
def kernel(plane, scratch, arg):
    """Transform plane (3, H, W) float32 in place; scratch: as plane; arg (6,): the rows of (A | t)."""
    _, height, width = plane.shape
    copy_plane(plane, scratch)
    source, target, size = scratch.reshape(-1), plane.reshape(-1), height * width
    half_w, half_h = F32(width) * F32(0.5), F32(height) * F32(0.5)
    for row in range(height):
        v = F32(2 * row + 1) / F32(height) - F32(1.0)
        for column in range(width):
            u, to = F32(2 * column + 1) / F32(width) - F32(1.0), row * width + column
            target[to] = (arg[0] * u + arg[1] * v + arg[2] + F32(1.0)) * half_w - F32(0.5)
            target[size + to] = (arg[3] * u + arg[4] * v + arg[5] + F32(1.0)) * half_h - F32(0.5)
        sample_row(source, target, row * width, height, width, F32(0.0))


def tensor(images, a, b, tx, c, d, ty, shift=None):
    """images (N, 3, H, W); six numbers (N,); shift (N, 2, H, W): added to (u, v) before the map, by the elastic op."""
    import torch

    v, u = ((2 * torch.arange(n, device=images.device) + 1) / n - 1 for n in images.shape[2:])
    u, v = u[None, None], v[None, :, None]
    if shift is not None:
        u, v = u + shift[:, 0], v + shift[:, 1]
    a, b, tx, c, d, ty = (x[:, None, None] for x in (a, b, tx, c, d, ty))
    return tensor_sample(images, a * u + b * v + tx, c * u + d * v + ty)


def tensor_sample(images, x, y):
    """Sample images (N, 3, H, W) at positions x, y (N, H, W) in -1..1, bilinear, black outside -> (N, 3, H, W)."""
    import torch

    grid = torch.stack([x, y], dim=-1)
    return torch.nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    plane, spare = planes(image, scratch, height, width)
    kernel(plane, spare, words(arg, word, small)[0])


step(AFFINE, "affine", ("a", "b", "tx", "c", "d", "ty"), reference=reference, tensor=tensor, image_kernel=image_kernel)
