"""Copy: a view that is not resized and has no step but a flip, straight from the image into the batch.

Views of small raw images are often no more than this; the kernel is several times as fast as resizing.
"""

from __future__ import annotations

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import LANES, fma, load_pixels, reverse, spread, store
from data_loading.ops.step import END

F32 = np.float32


@jit
def is_copy(box, side, op, next_step):
    """Whether a view can be copied: box (4,) has integer corners and the view's side; op (K,) no more steps."""
    whole = box[0] == np.floor(box[0]) and box[1] == np.floor(box[1])
    same = box[2] - box[0] == side and box[3] - box[1] == side
    return whole and same and (next_step >= op.size or op[next_step] == END)


@jit
def kernel(memory, start, height, width, x0, y0, flip, side, scale, bias, out, place):
    """Write source pixel (x0 + x, y0 + y), times scale, plus bias, to out[place + (c side + y) side + x]; 0 outside.

    memory uint8: the image (height, width, 3) starts at `start`.  flip: mirrored.  scale, bias (3,) float32.  out:
    flat, float32 or uint8 (rounded).
    """
    size = side * side
    low, high = min(max(0, -x0), side), max(min(side, width - x0), 0)  # columns inside the image
    for y in range(side):
        row, inside = place + y * side, 0 <= y0 + y < height and low < high
        a, b = (low, high) if inside else (0, 0)
        if flip:
            a, b = side - b, side - a
        for c in range(3):
            for x in range(a):
                out[row + c * size + x] = bias[c]
            for x in range(b, side):
                out[row + c * size + x] = bias[c]
        if inside:
            copy_row(memory, start + 3 * ((y0 + y) * width + x0), low, high, flip, side, scale, bias, out, row)


@jit
def copy_row(memory, source, low, high, flip, side, scale, bias, out, row):
    """Write columns low to high - 1 of one row; source: the position in memory of column 0, which may lie outside."""
    size, x = side * side, low
    while x < high and high - low >= LANES:
        x = min(x, high - LANES)  # the last vector overlaps the one before
        r, g, b = load_pixels(memory, source + 3 * x)
        r = fma(r, spread(scale, 0), spread(bias, 0))
        g = fma(g, spread(scale, 1), spread(bias, 1))
        b = fma(b, spread(scale, 2), spread(bias, 2))
        at = row + x
        if flip:
            r, g, b, at = reverse(r), reverse(g), reverse(b), row + side - LANES - x
        store(out, at, r)
        store(out, at + size, g)
        store(out, at + 2 * size, b)
        x += LANES
    while x < high:
        at = row + (side - 1 - x if flip else x)
        for c in range(3):
            out[at + c * size] = F32(memory[source + 3 * x + c]) * scale[c] + bias[c]
        x += 1
