"""Copies of rows between a tile (float32, levels) and planes of a whole view (int16, 128ths of a level; or uint8)."""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, load, maximum, minimum, reverse, splat, store

F32 = np.float32
FINE, WHOLE = (F32(128.0), F32(256.0)), (F32(1.0), F32(255.0))  # parts of a level, and the largest level, of a plane


@jit
def put_row(tile, row, width, plane, place, step, kind):
    """Copy a row of the tile into the plane, rounded.

    tile (3 n,) float32: the row's `width` pixels of channel c start at c n + row.  plane: flat, int16 in 128ths of a
    level for the kind FINE, or uint8 in levels for WHOLE; they are written from place + c step on.
    """
    n, (parts, most) = tile.size // 3, kind
    for c in range(3):
        i, o = c * n + row, place + c * step
        end = o + width
        while o + LANES <= end:
            store(plane, o, load(tile, i))
            i, o = i + LANES, o + LANES
        while o < end:
            plane[o] = int(min(tile[i], most) * parts + F32(0.5))
            i, o = i + 1, o + 1


@jit
def take_row(plane, place, step, width, flip, tile, row, pitch):
    """Copy a row of the plane into the tile, as float32 levels; flip: mirrored.

    plane: flat int16; the row's `width` pixels of channel c start at place + c step.  tile (3 n,) float32: they are
    written from c n + row on, `pitch` of them, of which only `width` are meaningful.
    """
    n = tile.size // 3
    for c in range(3):
        o, t = place + c * step, c * n + row
        if not flip:
            for i in range(0, pitch, LANES):
                store(tile, t + i, load(plane, o + i))  # values read past the row's end are never used
        else:
            i = 0
            while i + LANES <= width:
                store(tile, t + i, reverse(load(plane, o + width - LANES - i)))
                i += LANES
            while i < width:
                tile[t + i] = F32(plane[o + width - 1 - i]) * F32(1 / 128)
                i += 1


@jit
def put_image(image, plane, place):
    """Copy image (3, H, W) float32 to plane[place :], int16 in 128ths of a level, clamped to levels 0..255."""
    flat = image.reshape(-1)
    i = 0
    while i + LANES <= flat.size:
        v = load(flat, i)
        store(plane, place + i, minimum(maximum(v, splat(F32(0.0))), splat(F32(255.0))))
        i += LANES
    while i < flat.size:
        plane[place + i] = int(min(max(flat[i], F32(0.0)), F32(255.0)) * F32(128.0) + F32(0.5))
        i += 1


@jit
def take_image(plane, place, image):
    """Copy plane[place :], int16 in 128ths of a level, into image (3, H, W) float32."""
    flat = image.reshape(-1)
    i = 0
    while i + LANES <= flat.size:
        store(flat, i, load(plane, place + i))
        i += LANES
    while i < flat.size:
        flat[i] = F32(plane[place + i]) * F32(1 / 128)
        i += 1
