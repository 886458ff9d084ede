"""Sharpness: f x + (1 - f) smooth, clamped to 0..255, as Pillow's ImageEnhance.Sharpness.

smooth: the mean of a pixel and its eight neighbours, the pixel itself counted five times; pixels at the border stay.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, fma, load, splat, store
from data_loading.ops.base import OPS, copy_plane
from data_loading.ops.color_jitter import OneFactor, clamp, tensor_blend
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

SHARPNESS = 20  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Sharpness(OneFactor):
    """Blur (factor below 1) or sharpen (above 1) by a factor."""

    rule = SHARPNESS


def reference(image: np.ndarray, factor: float) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64."""
    smooth = image.astype(np.float64)
    _, h, w = image.shape
    if h > 2 and w > 2:
        around = sum(
            image[:, dy : h - 2 + dy, dx : w - 2 + dx].astype(np.float64) for dy in range(3) for dx in range(3)
        )
        smooth[:, 1:-1, 1:-1] = (around + 4 * image[:, 1:-1, 1:-1]) / 13
    return np.clip(image * factor + smooth * (1 - factor), 0, 255)


@jit(inline=True)
def kernel(plane, scratch, factor):
    """Sharpen plane (3, H, W) float32 in place; scratch: as plane."""
    _, height, width = plane.shape
    copy_plane(plane, scratch)
    target, source = plane.reshape(-1), scratch.reshape(-1)
    around = (F32(1.0) - factor) * F32(1 / 13)
    centre = factor + F32(4.0) * around
    for c in range(3):
        for y in range(1, height - 1):
            first = (c * height + y) * width + 1
            end = first + width - 2
            x = first
            while x < end:
                if width - 2 >= LANES:
                    i = min(x, end - LANES)  # the last vector overlaps the one before
                    sum_ = splat(F32(0.0))
                    for row in range(i - width, i + width + 1, width):
                        sum_ = sum_ + load(source, row - 1) + load(source, row) + load(source, row + 1)
                    store(target, i, clamp(fma(sum_, splat(around), load(source, i) * centre)))
                    x += LANES
                else:
                    total = F32(0.0)
                    for row in range(x - width, x + width + 1, width):
                        total += source[row - 1] + source[row] + source[row + 1]
                    target[x] = min(max(total * around + source[x] * centre, F32(0.0)), F32(255.0))
                    x += 1


def tensor(images, factor):
    """images (N, 3, H, W), factor (N,)."""
    h, w = images.shape[2:]
    around = sum(images[:, :, dy : h - 2 + dy, dx : w - 2 + dx] for dy in range(3) for dx in range(3))
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = (around + 4 * images[:, :, 1:-1, 1:-1]) / 13
    return tensor_blend(images, smooth, factor)


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    plane, spare = planes(image, scratch, height, width)
    kernel(plane, spare, words(arg, word, small)[0][0])


step(SHARPNESS, "sharpness", ("factor",), reference=reference, tensor=tensor, image_kernel=image_kernel)
