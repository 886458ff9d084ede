"""What equalize and autocontrast share: how often each whole level occurs in a channel, and a table of levels."""

from __future__ import annotations

import numpy as np

from data_loading.jit import jit

F32 = np.float32


@jit
def count_levels(channel, counts):
    """channel (H, W) float32 in 0..255, rounded -> counts (256,) int64."""
    for level in range(256):
        counts[level] = 0
    for y in range(channel.shape[0]):
        for x in range(channel.shape[1]):
            counts[int(channel[y, x] + F32(0.5))] += 1


@jit
def look_up(channel, table):
    """Each value becomes the table's (256,) entry of its rounded level."""
    for y in range(channel.shape[0]):
        for x in range(channel.shape[1]):
            channel[y, x] = table[int(channel[y, x] + F32(0.5))]
