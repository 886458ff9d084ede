"""Thickness: blend with the 3 x 3 maximum (thicker bright strokes) or minimum (thinner), edges ignored.

w >= 0: x + w (max - x);  w < 0: x + |w| (min - x).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import uniform
from data_loading.kernel.simd import LANES, load, maximum, store
from data_loading.ops.base import OPS, Op, copy_plane, within
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

THICKNESS = 11  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Thickness(Op):
    """Make bright strokes thicker or thinner; the weight is sampled from [-amount, amount]."""

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
    """Sample the weight and write step n -> n + 1."""
    op[n] = THICKNESS
    arg[n, 0] = uniform(state, -params[0], params[0])
    return n + 1


def reference(image: np.ndarray, weight: float) -> np.ndarray:
    """image (3, H, W) -> (3, H, W); weight: -1 to 1."""
    spread = maximum_filter if weight >= 0 else minimum_filter
    edge = np.stack([spread(channel, size=3, mode="nearest") for channel in image])
    return image + abs(weight) * (edge - image)


@jit
def most(source, i, sign):
    """The maximum of the three vectors that start at source[i - 1], source[i] and source[i + 1], each times sign."""
    return maximum(maximum(load(source, i - 1) * sign, load(source, i) * sign), load(source, i + 1) * sign)


@jit(inline=True)
def kernel(plane, scratch, weight):
    """Blend plane (3, H, W) float32 in place; scratch: as plane. The minimum is computed as -max(-x)."""
    _, height, width = plane.shape
    copy_plane(plane, scratch)
    target, source = plane.reshape(-1), scratch.reshape(-1)
    sign, amount = F32(1.0) if weight >= 0 else F32(-1.0), abs(weight)
    for c in range(3):
        for y in range(height):
            row, above, below = (c * height + y) * width, -width if y > 0 else 0, width if y < height - 1 else 0
            inner = row + width - 1 if width - 2 >= LANES else row + 1  # vectors: columns 1 to width - 2
            i = row + 1
            while i < inner:
                i = min(i, inner - LANES)  # the last vector overlaps the one before
                edge = maximum(
                    maximum(most(source, i + above, sign), most(source, i, sign)), most(source, i + below, sign)
                )
                v = load(source, i)
                store(target, i, v + (edge * sign - v) * amount)
                i += LANES
            for k in range(width):
                i = row + k
                if k == 0 or i >= inner:
                    edge = source[i] * sign
                    for j in (i + above, i, i + below):
                        for x in range(j - min(k, 1), j + min(width - 1 - k, 1) + 1):
                            edge = max(edge, source[x] * sign)
                    target[i] = source[i] + amount * (edge * sign - source[i])


def tensor(images, weight):
    """images (N, 3, H, W), weight (N,)."""
    from torch.nn.functional import max_pool2d

    weight = weight[:, None, None, None]
    sign = weight.sign()
    edge = max_pool2d(images * sign, 3, stride=1, padding=1) * sign  # padded pixels are -inf
    return images + weight.abs() * (edge - images)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    plane, spare = planes(image, scratch, height, width)
    kernel(plane, spare, words(arg, word, small)[0][0])


step(THICKNESS, "thickness", ("amount",), reference=reference, tensor=tensor, image_kernel=image_kernel)
