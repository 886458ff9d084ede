"""Shear: shift rows in proportion to their y (axis x), or columns in proportion to their x (axis y); a warp.

Axis x: the pixel (x, y) shows the input at (x + m y, y), relative to the top left corner, as in torchvision's
AutoAugment (and its authors'), or to the centre.
"""

from __future__ import annotations

from data_loading.errors import ViewError, one_of
from data_loading.kernel.jit import jit
from data_loading.ops import warp
from data_loading.ops.base import OPS, Op, flag, magnitude, magnitude_params
from data_loading.ops.warp import WARP

SHEAR = 34  # in no plan: it writes the steps of other ops


@OPS.register
class Shear(Op):
    """Shear along an axis.

    amount: tangent of the angle, a number, or an interval from which it is sampled.  axis: "x" or "y".
    bins: 0 samples uniformly from the interval, n one of n equidistant values.
    mirror: half of the amounts change sign.
    centre: the fixed point is the centre, not the top left corner.  interpolation: "nearest" or "bilinear".
    fill: value outside the image, 0 to 255.
    """

    rule = SHEAR
    writes = (WARP,)

    def __init__(
        self,
        amount: float | tuple[float, float] = (-0.3, 0.3),
        axis: str = "x",
        bins: int = 0,
        mirror: bool = False,
        centre: bool = False,
        interpolation: str = "nearest",
        fill: float = 0.0,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.amount = magnitude_params(
            self, "amount", amount, -10.0, 10.0, bins, about=0.0 if flag(self, "mirror", mirror) else None
        )
        self.resampling = warp.resampling_params(self, interpolation, fill)
        self.vertical, self.centre = axis_number(self, axis), flag(self, "centre", centre)

    def params(self) -> list[float]:
        return [*self.amount, *self.resampling, self.vertical, float(self.centre)]


def axis_number(op: object, axis: str) -> float:
    """0 for "x", 1 for "y", else a ViewError."""
    return float(one_of(f"{type(op).__name__}: axis", axis, ("x", "y"), ViewError) == "y")


@jit(inline=True)
def draw(params, state, size, op, arg, n):
    """Sample the amount and write step n, a warp -> n + 1; size: side of the view in pixels."""
    amount = magnitude(params, state)
    centre = 0.5 * size * params[8]
    if params[7] > 0.0:
        return warp.write(op, arg, n, 1.0, 0.0, amount, 1.0, centre, params[5], params[6])
    return warp.write(op, arg, n, 1.0, amount, 0.0, 1.0, centre, params[5], params[6])
