"""Cutout: fill a square with one colour (DeVries & Taylor, arXiv:1708.04552); an erasing.

The square is sampled as in Fast AutoAugment's code: its centre is uniform over the view, its top left corner is cut off
at the border, and from there it covers floor(side) + 1 pixels each way, as far as the view reaches. With `inside` the
squares have integer corners and lie wholly in the view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import integer, uniform
from data_loading.ops.base import OPS, Op, flag, magnitude, magnitude_params
from data_loading.ops.erasing import ERASING, colour

CUTOUT = 36  # in no plan: it writes the steps of other ops


@OPS.register
class Cutout(Op):
    """Fill a square at a random place with one colour.

    side: its side as a fraction of the view's, a number, or an interval from which it is sampled; 0 leaves the view
        unchanged.
    bins: 0 samples uniformly from the interval, n one of n equidistant values.
    inside: never cut at the border.
    fill: one value for all channels or three, 0 to 255.
    """

    rule = CUTOUT
    writes = (ERASING,)

    def __init__(
        self,
        side: float | tuple[float, float] = 0.5,
        bins: int = 0,
        inside: bool = False,
        fill: float | Sequence[float] = 0.0,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.side = magnitude_params(self, "side", side, 0.0, 1.0, bins, about=None)
        self.inside, self.fill = flag(self, "inside", inside), colour(self, fill)

    def params(self) -> list[float]:
        """side as magnitude_params returns it (5 numbers), inside (0 or 1), and the fill's three values."""
        return [*self.side, float(self.inside), *self.fill]


@jit(inline=True)
def draw(params, state, size, op, arg, n):
    """Sample side and position of the square and write step n, an erasing -> n + 1; n if the side is 0."""
    side = magnitude(params, state) * size
    if side <= 0.0:
        return n
    if params[5] > 0.0:
        height = width = max(np.rint(side), 1.0)
        left, top = float(integer(state, int(size - width) + 1)), float(integer(state, int(size - height) + 1))
    else:
        left = math.floor(max(uniform(state, 0.0, size) - 0.5 * side, 0.0))
        top = math.floor(max(uniform(state, 0.0, size) - 0.5 * side, 0.0))
        width, height = min(math.floor(left + side) + 1.0, size) - left, min(math.floor(top + side) + 1.0, size) - top
    op[n] = ERASING
    arg[n, 0], arg[n, 1], arg[n, 2], arg[n, 3] = top / size, left / size, height / size, width / size
    for c in range(3):
        arg[n, 4 + c] = params[6 + c]
    return n + 1
