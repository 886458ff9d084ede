"""What equalize and autocontrast share: the counts of each integer level in a channel, and a lookup table of levels."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit

F32 = np.float32


@jit(inline=True)
def level_of(value):
    """A value rounded half up to an integer level and clamped to 0..255: a user's own op may leave other values."""
    return min(max(int(value + F32(0.5)), 0), 255)


@jit
def count_levels(channel, counts):
    """Count the rounded levels of channel (H, W) float32 into counts (256,) int32."""
    for level in range(256):
        counts[level] = 0
    flat = channel.reshape(-1)
    for i in range(flat.size):
        counts[level_of(flat[i])] += 1


@jit
def look_up(channel, table):
    """Replace each value of channel (H, W) float32 in place by table[its rounded level]; table (256,) float32."""
    flat = channel.reshape(-1)
    for i in range(flat.size):
        flat[i] = table[level_of(flat[i])]


def tensor_levels(images):
    """images (N, 3, H, W) -> the rounded levels of each channel, (3 N, H W) int64."""
    return (images + 0.5).long().clamp(0, 255).flatten(2).flatten(0, 1)


def tensor_look_up(images, levels, table):
    """Replace each of levels (3 N, H W) int64 by the entry of table (3 N, 256) -> shape and dtype of images."""
    return table.to(images.dtype).gather(1, levels).view_as(images)
