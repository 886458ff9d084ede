"""Rows on their way between a tile and the planes of a whole view."""

from __future__ import annotations

from data_loading.jit import jit
from data_loading.simd import LANES, load, reverse, store


@jit
def put_row(tile, row, width, plane, place, step):
    """The row of a tile that starts at `row` -> rows of three planes `step` apart, exactly `width` pixels of each."""
    n = tile.size // 3
    for c in range(3):
        i, o = c * n + row, place + c * step
        end = o + width
        while o + LANES <= end:
            store(plane, o, load(tile, i))
            i, o = i + LANES, o + LANES
        while o < end:
            plane[o] = tile[i]
            i, o = i + 1, o + 1


@jit
def take_row(plane, place, step, width, flip, tile, row, pitch):
    """The other way; flip: mirrored."""
    n = tile.size // 3
    for c in range(3):
        o, t = place + c * step, c * n + row
        if not flip:
            for i in range(0, pitch, LANES):
                store(tile, t + i, load(plane, o + i))  # what it reads behind the row's end does not count
        else:
            i = 0
            while i + LANES <= width:
                store(tile, t + i, reverse(load(plane, o + width - LANES - i)))
                i += LANES
            while i < width:
                tile[t + i] = plane[o + width - 1 - i]
                i += 1
