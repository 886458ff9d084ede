"""Equalize: per channel, spread the levels so that they occur about equally often, as Pillow's ImageOps.equalize.

Values are first rounded to integer levels. Level i becomes (step // 2 + pixels below i) // step, where
    step = (pixels - those of the highest level) // 255;
a channel where step is 0 stays unchanged.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops.base import OPS, Op
from data_loading.ops.histogram import count_levels, look_up, tensor_levels, tensor_look_up
from data_loading.ops.step import step
from data_loading.ops.whole_image import planes, words

EQUALIZE = 21  # the code of the step, as saved plans hold it
F32 = np.float32


@OPS.register
class Equalize(Op):
    """Spread each channel's levels so that they occur about equally often."""

    rule = EQUALIZE

    def __init__(self, p: float = 0.5, **common):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64, integer levels."""
    out = np.floor(image + 0.5)
    for channel in out:
        counts = np.bincount(channel.astype(int).ravel(), minlength=256)
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) // 255
        if step:
            below = np.concatenate([[0], np.cumsum(counts)[:-1]])
            channel[:] = np.minimum((step // 2 + below) // step, 255)[channel.astype(int)]
    return out


@jit(inline=True)
def kernel(plane, counts, table):
    """Equalize plane (3, H, W) float32 in place; counts (256,) int32 and table (256,) float32: scratch."""
    for c in range(3):
        count_levels(plane[c], counts)
        pixels, highest = 0, 0
        for level in range(256):
            if counts[level] > 0:
                pixels, highest = pixels + counts[level], counts[level]
        step = (pixels - highest) // 255
        below = step // 2
        for level in range(256):
            table[level] = F32(min(below // step, 255) if step > 0 else level)
            below += counts[level]
        look_up(plane[c], table)


def tensor(images):
    """images (N, 3, H, W)."""
    levels = tensor_levels(images)
    counts = levels.new_zeros(len(levels), 256).scatter_add_(1, levels, levels.new_ones(()).expand_as(levels))
    highest = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - highest) // 255  # (3 N, 1)
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp(min=1)
    same = levels.new_tensor(range(256))
    return tensor_look_up(images, levels, table.clamp(max=255).where(step > 0, same))


def image_kernel(image, scratch, height, width, arg, word, small):
    """`kernel` with the arguments that whole_image.py calls every image kernel with."""
    arg, word, small = words(arg, word, small)
    kernel(planes(image, scratch, height, width)[0], small[:256].view(np.int32), small[256:512])


step(EQUALIZE, "equalize", reference=reference, tensor=tensor, image_kernel=image_kernel)
