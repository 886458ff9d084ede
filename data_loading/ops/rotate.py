"""Rotate: about the centre, counter-clockwise, as Pillow's Image.rotate; a warp."""

from __future__ import annotations

import math

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops import warp
from data_loading.ops.base import OPS, Op, flag, magnitude, magnitude_params
from data_loading.ops.warp import WARP

ROTATE = 33  # in no plan: it writes the steps of other ops
F32 = np.float32


@OPS.register
class Rotate(Op):
    """Rotate about the centre, counter-clockwise.

    degrees: a number, or an interval from which it is sampled.  bins: 0 samples uniformly from the interval, n one of n
    equidistant values.  mirror: half of the angles change sign.  interpolation: "nearest" or "bilinear".
    fill: value outside the image, 0 to 255.
    """

    rule = ROTATE
    writes = (WARP,)

    def __init__(
        self,
        degrees: float | tuple[float, float] = (-30.0, 30.0),
        bins: int = 0,
        mirror: bool = False,
        interpolation: str = "nearest",
        fill: float = 0.0,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.degrees = magnitude_params(
            self, "degrees", degrees, -360.0, 360.0, bins, about=0.0 if flag(self, "mirror", mirror) else None
        )
        self.resampling = warp.resampling_params(self, interpolation, fill)

    def params(self) -> list[float]:
        return [*self.degrees, *self.resampling]


@jit(inline=True)
def draw(params, state, size, op, arg, n):
    """Sample the angle and write step n, a warp -> n + 1; size: side of the view in pixels."""
    angle = math.radians(magnitude(params, state))
    c, s = math.cos(angle), math.sin(angle)
    return warp.write(op, arg, n, c, -s, s, c, 0.5 * size, params[5], params[6])
