"""Shift: by whole pixels along both axes; the uncovered bands get a colour. FFCV's RandomTranslate.

It writes a warp, and an erasing for each of the two uncovered bands.
"""

from __future__ import annotations

from collections.abc import Sequence

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import integer
from data_loading.ops import warp
from data_loading.ops.base import OPS, Op, whole
from data_loading.ops.erasing import ERASING, colour
from data_loading.ops.warp import WARP

SHIFT = 38  # in no plan: it writes the steps of other ops


@OPS.register
class Shift(Op):
    """Shift down or up, and right or left, each by up to `padding` whole pixels, all equally likely.

    fill: colour of the uncovered bands, one value for all channels or three, 0 to 255.
    """

    rule = SHIFT
    writes = (WARP, ERASING)
    steps = 3

    def __init__(self, padding: int = 4, fill: float | Sequence[float] = 0.0, p: float = 1.0, **common):
        super().__init__(p, **common)
        self.padding, self.fill = whole(self, "padding", padding, 0, 4096), colour(self, fill)

    def params(self) -> list[float]:
        return [self.padding, *self.fill]


@jit
def band(params, op, arg, n, top, left, height, width):
    """Write step n, an erasing with the fill; top, left, height and width as fractions of the view's sides -> n + 1."""
    op[n] = ERASING
    arg[n, 0], arg[n, 1], arg[n, 2], arg[n, 3] = top, left, height, width
    for c in range(3):
        arg[n, 4 + c] = params[1 + c]
    return n + 1


@jit(inline=True)
def draw(params, state, size, op, arg, n):
    """Sample both shifts and write up to three steps from step n on -> the number of the next step."""
    down = integer(state, 2 * int(params[0]) + 1) - params[0]
    right = integer(state, 2 * int(params[0]) + 1) - params[0]
    warp.write(op, arg, n, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    arg[n, 2], arg[n, 5] = -right, -down
    n += 1
    high, wide = min(abs(down) / size, 1.0), min(abs(right) / size, 1.0)
    if high > 0.0:
        n = band(params, op, arg, n, 0.0 if down > 0.0 else 1.0 - high, 0.0, high, 1.0)
    if wide > 0.0:
        n = band(params, op, arg, n, 0.0, 0.0 if right > 0.0 else 1.0 - wide, 1.0, wide)
    return n
