"""Erasing: fill a random rectangle with one colour (Zhong et al., arXiv:1708.04896)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import jit
from data_loading.kernel.rng import uniform
from data_loading.kernel.simd import LANES, splat, store
from data_loading.ops.base import OPS, Op, interval, within
from data_loading.ops.step import step

ERASING = 13  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Erasing(Op):
    """Fill a rectangle: area a fraction from `scale`, height / width log-uniform from `ratio`, wholly inside the view.

    As in torchvision's RandomErasing, ten shapes are tried; if none fits, nothing is erased.
    fill: one value for all channels or three, 0 to 255.
    """

    rule = ERASING

    def __init__(
        self,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.scale = interval(self, "scale", scale, 0.0, 1.0)
        self.ratio = interval(self, "ratio", ratio, 0.01, 100.0)
        self.fill = colour(self, fill)

    def params(self) -> list[float]:
        """scale (low, high), the logarithms of ratio (low, high), and the fill's three values."""
        return [*self.scale, *map(math.log, self.ratio), *self.fill]


def colour(op: object, fill: float | Sequence[float]) -> list[float]:
    """The three values of a fill, which is one value for all channels or three; ViewError outside 0..255."""
    values = list(fill) if isinstance(fill, Sequence) and not isinstance(fill, str) else [fill] * 3
    if len(values) != 3:
        raise ViewError(f"{type(op).__name__}: fill is {fill!r}; it is one value for all channels, or three")
    return [within(op, "fill", value, 0.0, 255.0) for value in values]


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample the rectangle and write step n -> n + 1; n if none of ten shapes fits.

    The numbers are top, left, height and width as fractions of the view's sides, and the fill's three values.
    """
    for _ in range(10):
        area = uniform(state, params[0], params[1])
        ratio = math.exp(uniform(state, params[2], params[3]))
        height, width = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if height <= 1.0 and width <= 1.0:
            op[n] = ERASING
            arg[n, 0] = uniform(state, 0.0, 1.0 - height)
            arg[n, 1] = uniform(state, 0.0, 1.0 - width)
            arg[n, 2] = height
            arg[n, 3] = width
            for c in range(3):
                arg[n, 4 + c] = params[4 + c]
            return n + 1
    return n


def reference(image: np.ndarray, top: float, left: float, height: float, width: float, *fill: float) -> np.ndarray:
    """image (3, H, W) -> (3, H, W); top to width: fractions of the sides; fill: red, green and blue, 0..255."""
    out = image.copy()
    _, h, w = image.shape
    y, x, down, across = (F32(edge) for edge in (top, left, height, width))  # an edge may lie on half a pixel
    y0, x0 = int(y * F32(h) + F32(0.5)), int(x * F32(w) + F32(0.5))
    y1, x1 = int((y + down) * F32(h) + F32(0.5)), int((x + across) * F32(w) + F32(0.5))
    out[:, y0:y1, x0:x1] = np.reshape(fill, (3, 1, 1))
    return out


@jit(inline=True)
def kernel(tile, arg, width, pitch, y, step):
    """Fill the rectangle's part of a tile, flat float32 of three channels, in place; arg (7,): the step's numbers.

    The tile's rows are rows y, y + step, y + 2 step, ... of a view of `width` x `width` pixels, or lie outside it.
    """
    n, side, half = tile.size // 3, F32(width), F32(0.5)
    y0, y1 = max(int(arg[0] * side + half), 0), min(int((arg[0] + arg[2]) * side + half), width)
    x0, x1 = max(int(arg[1] * side + half), 0), min(int((arg[1] + arg[3]) * side + half), width)
    for row in range(0, n, pitch):
        if y0 <= y < y1:
            for c in range(3):
                at, end = c * n + row + x0, c * n + row + x1
                while at + LANES <= end:
                    store(tile, at, splat(arg[4 + c]))
                    at += LANES
                while at < end:
                    tile[at] = arg[4 + c]
                    at += 1
        y += step


def tensor(images, top, left, height, width, *fill):
    """images (N, 3, H, W); each number (N,); fill: red, green and blue."""
    import torch

    def inside(start, length, n):
        first, end = ((x * n + 0.5).floor()[:, None] for x in (start, start + length))
        at = torch.arange(n, device=images.device)
        return (at >= first) & (at < end)  # (N, n)

    h, w = images.shape[2:]
    within = inside(top, height, h)[:, None, :, None] & inside(left, width, w)[:, None, None, :]
    return torch.where(within, torch.stack(fill, 1)[:, :, None, None], images)


step(
    ERASING,
    "erasing",
    ("top", "left", "height", "width", "red", "green", "blue"),
    reference=reference,
    tensor=tensor,
    on_rows=True,
)
