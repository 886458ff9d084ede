"""Translate: shift along an axis by a fraction of the side or by pixels; a warp. Positive amounts go right, or down."""

from __future__ import annotations

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import jit
from data_loading.ops import warp
from data_loading.ops.base import OPS, Op, flag, magnitude, magnitude_params
from data_loading.ops.shear import axis_number
from data_loading.ops.warp import WARP

TRANSLATE = 35  # in no plan: it writes the steps of other ops


@OPS.register
class Translate(Op):
    """Shift along an axis.

    fraction: of the side, a number, or an interval from which it is sampled.  axis: "x" or "y".
    pixels: a shift in the view's pixels instead of a fraction of its side; up to 4096.
    bins: 0 samples uniformly from the interval, n one of n equidistant values.  mirror: half of the shifts change sign.
    whole: truncate the shift to whole pixels, towards 0.  interpolation: "nearest" or "bilinear".
    fill: value outside the image, 0 to 255.
    """

    rule = TRANSLATE
    writes = (WARP,)

    def __init__(
        self,
        fraction: float | tuple[float, float] = (-0.45, 0.45),
        axis: str = "x",
        bins: int = 0,
        mirror: bool = False,
        whole: bool = False,
        interpolation: str = "nearest",
        fill: float = 0.0,
        pixels: float | tuple[float, float] | None = None,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        if pixels is not None and "fraction" in self.given:
            raise ViewError("Translate: fraction and pixels are given; leave one of them out")
        self.in_pixels = pixels is not None
        name, value, most = ("fraction", fraction, 1.0) if pixels is None else ("pixels", pixels, 4096.0)
        self.shift = magnitude_params(
            self, name, value, -most, most, bins, about=0.0 if flag(self, "mirror", mirror) else None
        )
        self.resampling = warp.resampling_params(self, interpolation, fill)
        self.vertical, self.whole = axis_number(self, axis), flag(self, "whole", whole)

    def params(self) -> list[float]:
        return [*self.shift, *self.resampling, self.vertical, float(self.whole), float(self.in_pixels)]


@jit(inline=True)
def draw(params, state, size, op, arg, n):
    """Sample the shift and write step n, a warp -> n + 1; size: side of the view in pixels."""
    shift = magnitude(params, state)
    if params[9] == 0.0:
        shift *= size
    if params[8] > 0.0:
        shift = np.trunc(shift)
    warp.write(op, arg, n, 1.0, 0.0, 0.0, 1.0, 0.0, params[5], params[6])
    arg[n, 5 if params[7] > 0.0 else 2] = -shift
    return n + 1
