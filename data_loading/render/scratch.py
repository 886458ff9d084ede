"""Scratch: the memory in which a thread renders views."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_loading.kernel.simd import LANES
from data_loading.ops import blur, resize, whole_image

F32 = np.float32
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


class Scratch(NamedTuple):
    """A thread's memory for views of one side S; pitch is S rounded up to a multiple of 16."""

    resize: Resizing
    blur: Blurring
    tile: np.ndarray  # (3 R pitch,) float32: R rows of the view
    base: np.ndarray  # (3 S S + 16,) int16 in 128ths, small for the cache: a resized crop that several views share
    plane: np.ndarray  # (3 S S + 16,) int16 in 128ths: a view between two passes
    image: np.ndarray  # (3, S, S) float32: a view for ops that need the whole image
    spare: np.ndarray  # (3, S, S) float32: the scratch memory of these ops
    small: np.ndarray  # (whole_image.SMALL,) float32: more scratch memory of these ops
    addresses: np.ndarray  # (256,) int64: the addresses of these ops' kernels, by code
    edge: np.ndarray  # (16,) float32, uint8, int16: the last vector of a row of the batch
    edge8: np.ndarray
    edge16: np.ndarray


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
            weight=np.zeros((reach, pitch), F32),
            whole=np.zeros(reach * pitch, np.int32),
            columns=np.zeros(pitch, np.int64),
            column_weight=np.zeros(2 * (reach + 1) * pitch, np.int32),
            rows=np.zeros(pitch, np.int64),
            row_weight=np.zeros(reach * pitch, np.int32),
            line=np.zeros(3 * largest + LANES, np.int16),
        ),
        Blurring(
            lines=np.zeros(3 * (2 * radius + pitch), np.int16),
            ring=np.zeros((2 * radius + 1) * 3 * pitch, np.int16),
            taps=np.zeros(radius + 1, np.int32),
            places=np.zeros(2 * radius + 1, np.int64),
            single=np.zeros(3 * pitch, F32),
        ),
        tile=np.zeros(3 * pitch * max(1, TILE // pitch), F32),
        base=np.zeros(3 * side * side + LANES, np.int16),
        plane=np.zeros(3 * side * side + LANES, np.int16),
        image=np.zeros((3, side, side), F32),
        spare=np.zeros((3, side, side), F32),
        small=np.zeros(whole_image.SMALL, F32),
        addresses=addresses,
        edge=np.zeros(LANES, F32),
        edge8=np.zeros(LANES, np.uint8),
        edge16=np.zeros(LANES, np.int16),
    )
