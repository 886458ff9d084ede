"""Thickness: blend with the 3 x 3 maximum (thicker bright strokes) or minimum (thinner), edges ignored.

w >= 0: x + w (max - x);  w < 0: x + |w| (min - x).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from data_loading.jit import jit
from data_loading.ops.base import OPS, THICKNESS, Op, copy_plane, within
from data_loading.rng import uniform


@OPS.register
class Thickness(Op):
    """Make bright strokes thicker or thinner; the weight is drawn from [-amount, amount]."""

    rule = THICKNESS

    def __init__(
        self,
        amount: float = 0.6,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.amount = within(self, "amount", amount, 0.0, 1.0)

    def params(self) -> list[float]:
        return [self.amount]


@jit(inline=True)
def draw(params, state, op, arg, n):
    op[n] = THICKNESS
    arg[n, 0] = uniform(state, -params[0], params[0])
    return n + 1


def reference(image: np.ndarray, weight: float) -> np.ndarray:
    spread = maximum_filter if weight >= 0 else minimum_filter
    edge = np.stack([spread(channel, size=3, mode="nearest") for channel in image])
    return image + abs(weight) * (edge - image)


@jit(inline=True)
def kernel(plane, scratch, weight):
    _, height, width = plane.shape
    copy_plane(plane, scratch)
    amount = abs(weight)
    for c in range(3):
        for y in range(height):
            for x in range(width):
                edge = scratch[c, y, x]
                for j in range(max(y - 1, 0), min(y + 2, height)):
                    for i in range(max(x - 1, 0), min(x + 2, width)):
                        v = scratch[c, j, i]
                        edge = max(edge, v) if weight >= 0 else min(edge, v)
                plane[c, y, x] += amount * (edge - plane[c, y, x])
