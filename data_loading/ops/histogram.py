"""What equalize and autocontrast share: how often each whole level occurs in a channel, and a table of levels."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit

F32 = np.float32


@jit(inline=True)
def level_of(value):
    """The whole level of a value, 0 to 255 whatever a user's own op may have left there."""
    return min(max(int(value + F32(0.5)), 0), 255)


@jit
def count_levels(channel, counts):
    """channel (H, W) float32 in 0..255, rounded -> counts (256,) int32."""
    for level in range(256):
        counts[level] = 0
    flat = channel.reshape(-1)
    for i in range(flat.size):
        counts[level_of(flat[i])] += 1


@jit
def look_up(channel, table):
    """Each value becomes the table's (256,) entry of its rounded level."""
    flat = channel.reshape(-1)
    for i in range(flat.size):
        flat[i] = table[level_of(flat[i])]


def tensor_levels(images):
    """images (N, 3, H, W) -> the rounded levels (3 N, H W) int64 of each channel."""
    return (images + 0.5).long().clamp(0, 255).flatten(2).flatten(0, 1)


def tensor_look_up(images, levels, table):
    """table (3 N, 256) -> each level's entry, as the images."""
    return table.to(images.dtype).gather(1, levels).view_as(images)
