"""What equalize and autocontrast share: what a pass finds out about levels, and a table of what they become."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, at, load, maximum, minimum, put, splat, store

F32 = np.float32
TABLES = 4  # a level that occurs twice in a row is counted in two tables, so that neither count waits for the other


@jit(inline=True)
def level_of(value):
    """A value rounded half up to an integer level and clamped to 0..255."""
    return min(max(int(value + F32(0.5)), 0), 255)


@jit(inline=True)
def count(counts, i):
    """Add 1 to counts[i]."""
    put(counts, i, np.int32(at(counts, i) + 1))


@jit
def count_row(levels, place, width, step, counts):
    """Count a row's levels.

    levels: flat uint8: the row's `width` pixels of channel c start at place + c step.
    counts (TABLES, 3, 256) int32, flat.
    """
    for c in range(3):
        i, first = place + c * step, c * 256
        end = i + width
        while i + TABLES <= end:
            count(counts, first + at(levels, i))
            count(counts, first + 768 + at(levels, i + 1))
            count(counts, first + 2 * 768 + at(levels, i + 2))
            count(counts, first + 3 * 768 + at(levels, i + 3))
            i += TABLES
        while i < end:
            count(counts, first + at(levels, i))
            i += 1


@jit
def add_tables(counts):
    """Add the counts of all tables into the first: counts (TABLES, 3, 256) int32, flat."""
    for i in range(768):
        counts[i] += counts[768 + i] + counts[2 * 768 + i] + counts[3 * 768 + i]


@jit
def find_extremes(tile, row, width, extremes):
    """Take a row of a tile into account: its lowest and highest values of each channel.

    tile (3 n,) float32: the row's `width` pixels of channel c start at c n + row.
    extremes (3, 2, LANES) float32, flat: the lowest and highest of each lane.
    """
    n = tile.size // 3
    for c in range(3):
        i, lane = c * n + row, 2 * LANES * c
        end, low, high = i + width, load(extremes, lane), load(extremes, lane + LANES)
        while i < end and width >= LANES:
            v = load(tile, min(i, end - LANES))  # the last vector overlaps the one before
            low, high = minimum(low, v), maximum(high, v)
            i += LANES
        while i < end:
            v = splat(tile[i])
            low, high = minimum(low, v), maximum(high, v)
            i += 1
        store(extremes, lane, low)
        store(extremes, lane + LANES, high)


@jit
def forget(counts, extremes):
    """Start counting anew."""
    for i in range(counts.size):
        counts[i] = 0
    for c in range(0, 6 * LANES, 2 * LANES):
        store(extremes, c, splat(F32(255.0)))
        store(extremes, c + LANES, splat(F32(0.0)))


@jit
def lowest(extremes, channel):
    """The lowest level of a channel: `find_extremes` of all rows. (Rounding keeps the order of values.)"""
    low = F32(255.0)
    for i in range(2 * LANES * channel, 2 * LANES * channel + LANES):
        low = min(low, extremes[i])
    return level_of(low)


@jit
def highest(extremes, channel):
    """The highest level of a channel."""
    high = F32(0.0)
    for i in range(2 * LANES * channel + LANES, 2 * LANES * (channel + 1)):
        high = max(high, extremes[i])
    return level_of(high)


@jit
def look_up_row(levels, place, step, width, table, tile, row):
    """Read a row of levels into the tile through a table (3, 256) float32, flat.

    levels, place, step, width: as in `count_row`.  tile, row: as in `find_extremes`.
    """
    n = tile.size // 3
    for c in range(3):
        i, o, first = place + c * step, c * n + row, 256 * c
        end = i + width
        while i + 4 <= end:
            p, q = at(table, first + at(levels, i)), at(table, first + at(levels, i + 1))
            r, s = at(table, first + at(levels, i + 2)), at(table, first + at(levels, i + 3))
            put(tile, o, p)
            put(tile, o + 1, q)
            put(tile, o + 2, r)
            put(tile, o + 3, s)
            i, o = i + 4, o + 4
        while i < end:
            put(tile, o, at(table, first + at(levels, i)))
            i, o = i + 1, o + 1


def tensor_levels(images):
    """images (N, 3, H, W) -> the rounded levels of each channel, (3 N, H W) int64."""
    return (images + 0.5).long().clamp(0, 255).flatten(2).flatten(0, 1)


def tensor_look_up(images, levels, table):
    """Replace each of levels (3 N, H W) int64 by the entry of table (3 N, 256) -> shape and dtype of images."""
    return table.to(images.dtype).gather(1, levels).view_as(images)
