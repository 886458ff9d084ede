"""Scratch: the memory in which a thread renders views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_loading.kernel.simd import LANES
from data_loading.ops import blur, histogram, resize, whole_image

F32 = np.float32
LINE = 64  # bytes of a cache line
TILE = 512  # pixels of a tile: more need fewer calls, but must fit in the L1 cache


class Resizing(NamedTuple):
    """The taps of both axes for one crop, and scratch memory for computing and applying them; see ops/resize.py."""

    weight: np.ndarray  # (K, pitch) float32: the taps of one axis, before they are rounded to integers
    whole: np.ndarray  # (K pitch,) int32: `weight` rounded
    columns: np.ndarray  # (pitch,) int64: the first tap of each column, as a position in the source row
    column_weight: np.ndarray  # int32: two 16-bit weights each, see resize.pair
    rows: np.ndarray  # (pitch,) int64: the first tap of each row, as a source row
    row_weight: np.ndarray  # (K pitch,) int32
    line: np.ndarray  # (3 largest + 16,) int16: a source row, resized vertically


class Blurring(NamedTuple):
    """Memory for a blur of radius r; see ops/blur.py."""

    lines: np.ndarray  # (3 (pitch + 2 MARGIN),) int16 in 128ths of a level: a row with margins
    ring: np.ndarray  # int16 in 128ths: the last 2 r + 1 rows, blurred along x
    taps: np.ndarray  # (r + 1,) int32
    places: np.ndarray  # (2 r + 1,) int64: the positions of the rows in the ring
    single: np.ndarray  # (3 pitch,) float32: a row, blurred along both axes


class Finding(NamedTuple):
    """What a pass finds out about a view's levels, and what becomes of them; see ops/histogram.py."""

    counts: np.ndarray  # (TABLES, 3, 256) int32, flat
    extremes: np.ndarray  # (3, 2, LANES) float32, flat
    table: np.ndarray  # (3, 256) float32, flat: the value that each level becomes


class Moving(NamedTuple):
    """Memory for a nearest warp; see ops/warp.py."""

    numbers: np.ndarray  # (7,) int64: the map
    line: np.ndarray  # (3 pitch,) int16: a row


class Sharpening(NamedTuple):
    """Memory for sharpness; see ops/sharpness.py."""

    ring: np.ndarray  # (9 pitch,) float32: the last three rows
    sums: np.ndarray  # (pitch + 2 LANES,) float32: of these three rows, one channel


class Scratch(NamedTuple):
    """A thread's memory for views of one side S; pitch is S rounded up to a multiple of 16."""

    resize: Resizing
    blur: Blurring
    tile: np.ndarray  # (3 R pitch,) float32: R rows of the view
    planes: np.ndarray  # (3 P,) int16 in 128ths, P >= 3 S S + 16: a resized crop that several views share, and
    # twice a view between two passes, since a pass may read one while it writes the other
    levels: np.ndarray  # (2 L,) uint8, L >= 3 S S + 16: twice a view between two passes, in whole levels
    finding: Finding
    moving: Moving
    sharpening: Sharpening
    image: np.ndarray  # (3, S, S) float32: a view for ops that need the whole image
    spare: np.ndarray  # (3, S, S) float32: the scratch memory of these ops
    small: np.ndarray  # (whole_image.SMALL,) float32: more scratch memory of these ops
    addresses: np.ndarray  # (256,) int64: the addresses of these ops' kernels, by code
    edge: np.ndarray  # (16,) float32, uint8, int16: the last vector of a row of the batch
    edge8: np.ndarray
    edge16: np.ndarray


def zeros(shape: int | tuple[int, ...], dtype: type) -> np.ndarray:
    """np.zeros that starts where a cache line does, so that vectors of a line's length lie in one line."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def scratch(side: int, largest: int, addresses: np.ndarray) -> Scratch:
    """Allocate a Scratch.

    side: of the views, in pixels.  largest: the longest side of any image.  addresses: whole_image.table().
    The arrays are zero, because vectors also read and compute numbers past a row's end.
    """
    pitch = -(-side // LANES) * LANES
    reach = resize.most_taps(largest, side)
    radius = blur.MARGIN
    return Scratch(
        Resizing(
            weight=zeros((reach, pitch), F32),
            whole=zeros(reach * pitch, np.int32),
            columns=zeros(pitch, np.int64),
            column_weight=zeros(2 * (reach + 1) * pitch, np.int32),
            rows=zeros(pitch, np.int64),
            row_weight=zeros(reach * pitch, np.int32),
            line=zeros(3 * largest + LANES, np.int16),
        ),
        Blurring(
            lines=zeros(3 * (2 * radius + pitch), np.int16),
            ring=zeros((2 * radius + 1) * 3 * pitch, np.int16),
            taps=zeros(radius + 1, np.int32),
            places=zeros(2 * radius + 1, np.int64),
            single=zeros(3 * pitch, F32),
        ),
        tile=zeros(3 * pitch * max(1, TILE // pitch), F32),
        planes=zeros(3 * (-(-3 * side * side // LINE) + 1) * LINE, np.int16),
        levels=zeros(2 * (-(-3 * side * side // LINE) + 1) * LINE, np.uint8),
        finding=Finding(
            counts=zeros(histogram.TABLES * 3 * 256, np.int32),
            extremes=zeros(3 * 2 * LANES, F32),
            table=zeros(3 * 256, F32),
        ),
        moving=Moving(numbers=zeros(7, np.int64), line=zeros(3 * pitch, np.int16)),
        sharpening=Sharpening(ring=zeros(3 * 3 * pitch, F32), sums=zeros(pitch + 2 * LANES, F32)),
        image=zeros((3, side, side), F32),
        spare=zeros((3, side, side), F32),
        small=zeros(whole_image.SMALL, F32),
        addresses=addresses,
        edge=zeros(LANES, F32),
        edge8=zeros(LANES, np.uint8),
        edge16=zeros(LANES, np.int16),
    )
