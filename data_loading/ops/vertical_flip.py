"""Vertical flip: mirror top and bottom."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, load, store
from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes

VERTICAL_FLIP = 18  # the code of the step, as saved plans hold it


@OPS.register
class VerticalFlip(Op):
    """Mirror top and bottom, with probability 0.5 unless said."""

    rule = VERTICAL_FLIP

    def __init__(self, p: float = 0.5, **common):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W)."""
    return image[:, ::-1]


@jit(inline=True)
def kernel(plane):
    """Mirror plane (3, H, W) float32 top to bottom, in place."""
    _, height, width = plane.shape
    flat = plane.reshape(-1)
    for c in range(3):
        for y in range(height // 2):
            a, b = (c * height + y) * width, (c * height + height - 1 - y) * width
            end = a + width
            while a + LANES <= end:
                upper, lower = load(flat, a), load(flat, b)
                store(flat, a, lower)
                store(flat, b, upper)
                a, b = a + LANES, b + LANES
            while a < end:
                flat[a], flat[b] = flat[b], flat[a]
                a, b = a + 1, b + 1


def tensor(images):
    """images (N, 3, H, W)."""
    return images.flip(-2)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    kernel(planes(image, scratch, height, width)[0])


step(VERTICAL_FLIP, "vertical_flip", reference=reference, tensor=tensor, image_kernel=image_kernel)
