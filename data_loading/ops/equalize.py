"""Equalize: per channel, spread the levels so that they occur about equally often, as Pillow's ImageOps.equalize.

Values are first rounded to integer levels. Level i becomes (step // 2 + pixels below i) // step, where
    step = (pixels - those of the highest level) // 255;
a channel where step is 0 stays unchanged.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.ops.base import OPS, Op
from data_loading.ops.histogram import tensor_levels, tensor_look_up
from data_loading.ops.step import step

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


@jit
def fill_table(counts, table):
    """Write the level that each level becomes: table (3, 256) float32, flat; counts (3, 256) int32, flat."""
    for c in range(0, 3 * 256, 256):
        pixels, highest = 0, 0
        for level in range(256):
            if counts[c + level] > 0:
                pixels, highest = pixels + counts[c + level], counts[c + level]
        step = (pixels - highest) // 255
        below = step // 2
        for level in range(256):
            table[c + level] = F32(min(below // step, 255) if step > 0 else level)
            below += counts[c + level]


def tensor(images):
    """images (N, 3, H, W)."""
    levels = tensor_levels(images)
    counts = levels.new_zeros(len(levels), 256).scatter_add_(1, levels, levels.new_ones(()).expand_as(levels))
    highest = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - highest) // 255  # (3 N, 1)
    table = (step // 2 + counts.cumsum(1) - counts) // step.clamp(min=1)
    same = levels.new_tensor(range(256))
    return tensor_look_up(images, levels, table.clamp(max=255).where(step > 0, same))


step(EQUALIZE, "equalize", reference=reference, tensor=tensor)
