"""A thread's memory for rendering."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_loading.kernel.simd import LANES
from data_loading.ops import blur, resize, whole_image

F32 = np.float32
TILE = 512  # pixels of a tile: more of them cost fewer calls, but must stay in the nearest cache


class Scratch(NamedTuple):
    """A thread's memory for views of one side S; pitch is S rounded up to whole vectors."""

    weight: np.ndarray  # (K, pitch): the taps of one axis, before they become whole numbers
    whole: np.ndarray
    columns: np.ndarray  # the taps of both axes: (pitch,) int64, int32
    column_weight: np.ndarray
    rows: np.ndarray
    row_weight: np.ndarray
    line: np.ndarray  # a source row, resized vertically: int16
    tile: np.ndarray  # (3 R pitch,) some rows of the view
    single: np.ndarray  # (3 pitch,) one row, behind a blur
    base: np.ndarray  # (3 S S + 16,) a resized crop that several views share
    plane: np.ndarray  # (3 S S + 16,) a view between two passes; like base int16, in 128ths, to stay in a near cache
    image: np.ndarray  # (3, S, S) the same for ops that need the whole image
    spare: np.ndarray
    lines: np.ndarray  # a row with margins, to be blurred; like ring in 128ths
    ring: np.ndarray  # the rows of a blur
    taps: np.ndarray
    places: np.ndarray
    small: np.ndarray  # what kernels of whole images need beside scratch
    addresses: np.ndarray  # of the kernels of whole images
    edge: np.ndarray  # (16,) of each dtype of a batch
    edge8: np.ndarray
    edge16: np.ndarray


def scratch(side: int, largest: int, addresses: np.ndarray) -> Scratch:
    """side of the views, largest side of any image, in pixels; addresses: whole_image.table().

    Zeros: what lies behind a row's end is computed too.
    """
    pitch = -(-side // LANES) * LANES
    reach = resize.most_taps(largest, side)
    radius = blur.MARGIN
    return Scratch(
        np.zeros((reach, pitch), F32),
        np.zeros(reach * pitch, np.int32),
        np.zeros(pitch, np.int64),
        np.zeros(2 * (reach + 1) * pitch, np.int32),
        np.zeros(pitch, np.int64),
        np.zeros(reach * pitch, np.int32),
        np.zeros(3 * largest + LANES, np.int16),
        np.zeros(3 * pitch * max(1, TILE // pitch), F32),
        np.zeros(3 * pitch, F32),
        np.zeros(3 * side * side + LANES, np.int16),
        np.zeros(3 * side * side + LANES, np.int16),
        np.zeros((3, side, side), F32),
        np.zeros((3, side, side), F32),
        np.zeros(3 * (2 * radius + pitch), np.int16),
        np.zeros((2 * radius + 1) * 3 * pitch, np.int16),
        np.zeros(radius + 1, np.int32),
        np.zeros(2 * radius + 1, np.int64),
        np.zeros(whole_image.SMALL, F32),
        addresses,
        np.zeros(LANES, F32),
        np.zeros(LANES, np.uint8),
        np.zeros(LANES, np.int16),
    )
