"""Crop and resize, antialiased bilinear: Pillow's and torchvision's `antialias=True`, without rounding in between.

The vertical pass comes first, one output row at a time, into a row that stays in the nearest cache; the horizontal
pass reads that row and writes the three planes. A tap is a source pixel with a weight; taps stop at the crop or at the
image.
"""

from __future__ import annotations

import math

import numpy as np

from data_loading.jit import jit

F32 = np.float32


@jit
def taps(low, high, limit_low, limit_high, n, first, count, weight):
    """Taps of n output pixels over the source interval [low, high), reading only [limit_low, limit_high).

    Writes first (n,) int64, count (n,) int64 and weight (n, K) float32; the weights of a pixel sum to 1.
    """
    scale = (high - low) / n
    support = max(scale, 1.0)
    for i in range(n):
        centre = low + (i + 0.5) * scale
        start = max(int(math.floor(centre - support + 0.5)), limit_low)
        stop = min(int(math.floor(centre + support + 0.5)), limit_high)
        total = 0.0
        for k in range(start, stop):
            total += max(0.0, 1.0 - abs((k - centre + 0.5) / support))
        first[i], count[i] = start, stop - start
        for k in range(start, stop):
            weight[i, k - start] = max(0.0, 1.0 - abs((k - centre + 0.5) / support)) / total


@jit
def add_row(row, source, weight, fresh):
    """row = weight source where fresh, else row += weight source; source uint8."""
    if fresh:
        for i in range(row.size):
            row[i] = weight * F32(source[i])
    else:
        for i in range(row.size):
            row[i] += weight * F32(source[i])


@jit
def across(row, x0, first, count, weight, plane, y):
    """The horizontal pass of one row (interleaved RGB, starting at source pixel x0) into plane[:, y]."""
    red, green, blue = plane[0, y], plane[1, y], plane[2, y]
    for x in range(red.size):
        at = 3 * (first[x] - x0)
        r, g, b = F32(0.0), F32(0.0), F32(0.0)
        for k in range(count[x]):
            w = weight[x, k]
            r += w * row[at]
            g += w * row[at + 1]
            b += w * row[at + 2]
            at += 3
        red[x], green[x], blue[x] = r, g, b


@jit
def crop_resize(pixels, height, width, box, inside, xs, nx, wx, ys, ny, wy, row, plane):
    """pixels uint8 (height * width * 3,) RGB -> plane (3, S, T) float32 in 0..255.

    box float32 x0, y0, x1, y1; inside: taps stop at the box. The rest is scratch: first, count and weight of the taps
    of both axes, and a row of 3 * width float32.
    """
    _, n_rows, n_columns = plane.shape
    x0, x1 = (int(box[0]), int(box[2])) if inside else (0, width)
    y0, y1 = (int(box[1]), int(box[3])) if inside else (0, height)
    taps(float(box[0]), float(box[2]), x0, x1, n_columns, xs, nx, wx)
    taps(float(box[1]), float(box[3]), y0, y1, n_rows, ys, ny, wy)
    left, right = xs[0], xs[n_columns - 1] + nx[n_columns - 1]
    line = row[: 3 * (right - left)]
    for y in range(n_rows):
        for k in range(ny[y]):
            start = 3 * ((ys[y] + k) * width + left)
            add_row(line, pixels[start : start + line.size], wy[y, k], k == 0)
        across(line, left, xs, nx, wx, plane, y)
