"""Crop and resize, antialiased: Pillow's and torchvision's `antialias=True`, without rounding in between.

The vertical pass comes first, one output row at a time, into a row that stays in the nearest cache; the horizontal
pass reads that row and writes a tile: the row's three channels, one behind the other. A tap is a source pixel with a
weight. All pixels of an axis have the same number of taps, so that the loops need no tests.
"""

from __future__ import annotations

import math

import numpy as np

from data_loading.jit import jit
from data_loading.simd import (
    LANES,
    at,
    fma,
    load,
    load4,
    maximum,
    minimum,
    splat,
    splat4,
    spread,
    spread4,
    store,
    store_pixels,
    weighted_pixels,
)

F32 = np.float32
BILINEAR, BICUBIC = 0, 1
INTERPOLATIONS = {"bilinear": BILINEAR, "bicubic": BICUBIC}
NOTHING = 1e-6  # a weight that does not count; at most one at either end, where support is cut to whole pixels
SUPPORT = (1, 2)  # half the width of each kernel, in taps where nothing shrinks


def most_taps(longest: int, size: int) -> int:
    """An upper bound for the taps of a pixel when up to `longest` source pixels become `size`."""
    return 2 * SUPPORT[BICUBIC] * math.ceil(max(longest / size, 1.0)) + 2


@jit
def kernel(x, cubic):
    """The interpolation kernel at distance x: triangle, or Keys' cubic with a = -0.5 (Pillow's)."""
    x = abs(x)
    if not cubic:
        return max(0.0, 1.0 - x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x < 2.0 else 0.0


@jit
def taps(low, high, limit_low, limit_high, n, cubic, pad, flip, first, weight):
    """Taps of n output pixels over the source interval [low, high), reading only [limit_low, limit_high); returns K.

    Pixel i is the sum over k < K of weight[k, i] source[first[i] + k]; the weights sum to 1, or with `pad` to what lies
    inside the limits, so that the outside counts as black. flip: output pixels in reverse order. Writes first (>= n,)
    int64 and weight (>= K, >= n) float32; behind the n-th pixel first is limit_low and the weights are 0.
    """
    scale = (high - low) / n
    if scale == 1.0 and low == math.floor(low):
        return copied(int(low), limit_low, limit_high, n, flip, first, weight)
    stretch = max(scale, 1.0)
    support, inverse = stretch * (2.0 if cubic else 1.0), 1.0 / stretch
    count = 1
    for i in range(n):
        centre = low + (i + 0.5) * scale
        start, stop = int(math.floor(centre - support + 0.5)), int(math.floor(centre + support + 0.5))
        start, stop = max(start, limit_low), min(stop, limit_high)
        start += stop - start > 1 and abs(kernel((start - centre + 0.5) * inverse, cubic)) < NOTHING
        stop -= stop - start > 1 and abs(kernel((stop - 0.5 - centre) * inverse, cubic)) < NOTHING
        count = max(count, stop - start)
    last = limit_high - count
    for i in range(n):
        centre = low + (i + 0.5) * scale
        start, stop = int(math.floor(centre - support + 0.5)), int(math.floor(centre + support + 0.5))
        begin = max(start, limit_low)
        if begin < stop - 1 and abs(kernel((begin + 0.5 - centre) * inverse, cubic)) < NOTHING:
            begin += 1
        begin = max(min(begin, last), limit_low)
        total = 0.0
        at = n - 1 - i if flip else i
        first[at] = begin
        for k in range(begin, begin + count):
            w = kernel((k + 0.5 - centre) * inverse, cubic) if start <= k < stop else 0.0
            weight[k - begin, at] = w
            total += w
        if pad:
            total = 0.0
            for k in range(start, stop):
                total += kernel((k + 0.5 - centre) * inverse, cubic)
        for k in range(count):
            weight[k, at] = weight[k, at] / total
    for i in range(n, first.size):
        first[i] = limit_low
        for k in range(count):
            weight[k, i] = 0.0
    return count


@jit
def copied(low, limit_low, limit_high, n, flip, first, weight):
    """The taps where nothing is resized: one each, of weight 1 inside the limits and 0 outside."""
    for i in range(first.size):
        at = n - 1 - i if flip and i < n else i
        inside = i < n and limit_low <= low + i < limit_high
        first[at] = min(max(low + i, limit_low), limit_high - 1)
        weight[0, at] = 1.0 if inside else 0.0
    return 1


@jit
def vertical(source, at, stride, n, weight, y, count, row):
    """row[:n] = sum over k < count of weight[k, y] source[at + k stride :][:n]; source uint8, n >= 1."""
    pitch = weight.shape[1]
    flat = weight.reshape(-1)
    i = 0
    while i + 4 * LANES <= n:
        o, w = at + i, spread(flat, y)
        a, b = load(source, o) * w, load(source, o + LANES) * w
        c, d = load(source, o + 2 * LANES) * w, load(source, o + 3 * LANES) * w
        for k in range(1, count):
            o, w = o + stride, spread(flat, k * pitch + y)
            a, b = fma(load(source, o), w, a), fma(load(source, o + LANES), w, b)
            c, d = fma(load(source, o + 2 * LANES), w, c), fma(load(source, o + 3 * LANES), w, d)
        store(row, i, a)
        store(row, i + LANES, b)
        store(row, i + 2 * LANES, c)
        store(row, i + 3 * LANES, d)
        i += 4 * LANES
    while i < n and n >= LANES:
        i = min(i, n - LANES)  # the last vector overlaps the one before: nothing is read behind the row
        o = at + i
        a = load(source, o) * spread(flat, y)
        for k in range(1, count):
            o += stride
            a = fma(load(source, o), spread(flat, k * pitch + y), a)
        store(row, i, a)
        i += LANES
    while i < n:  # rows of fewer than 6 pixels
        value = F32(0.0)
        for k in range(count):
            value += flat[k * pitch + y] * F32(source[at + k * stride + i])
        row[i] = value
        i += 1


@jit
def horizontal(row, first, weight, count, n, tile, place):
    """A row of interleaved RGB -> n pixels of each channel of a tile, from `place` on; first: places in row."""
    pitch, step = weight.shape[1], tile.size // 3
    flat = weight.reshape(-1)
    for x in range(0, n, 4):
        if count == 1:
            weighted_pixels(row, first, flat, pitch, x, tile, place + x, step, 1)
        elif count == 2:  # written out: the loop below takes half as long again
            weighted_pixels(row, first, flat, pitch, x, tile, place + x, step, 2)
        elif count == 3:
            weighted_pixels(row, first, flat, pitch, x, tile, place + x, step, 3)
        elif count == 4:
            weighted_pixels(row, first, flat, pitch, x, tile, place + x, step, 4)
        elif count == 5:
            weighted_pixels(row, first, flat, pitch, x, tile, place + x, step, 5)
        else:
            i, j, k, m = at(first, x), at(first, x + 1), at(first, x + 2), at(first, x + 3)
            a = b = c = d = splat4(F32(0.0))
            for w in range(x, x + count * pitch, pitch):
                a, b = fma(load4(row, i), spread4(flat, w), a), fma(load4(row, j), spread4(flat, w + 1), b)
                c, d = fma(load4(row, k), spread4(flat, w + 2), c), fma(load4(row, m), spread4(flat, w + 3), d)
                i, j, k, m = i + 3, j + 3, k + 3, m + 3
            store_pixels(tile, place + x, step, a, b, c, d)


@jit
def clamp(tile):
    for i in range(0, tile.size, LANES):
        store(tile, i, minimum(maximum(load(tile, i), splat(F32(0.0))), splat(F32(255.0))))


def reference(image: np.ndarray, box, size: tuple[int, int], edge: str = "crop", cubic: bool = False) -> np.ndarray:
    """image (H, W, 3) -> (3, size...) float64 in 0..255: one matrix of weights per axis."""
    height, width, _ = image.shape
    x0, y0, x1, y1 = (float(v) for v in box)

    def matrix(low: float, high: float, length: int, n: int) -> np.ndarray:
        scale = (high - low) / n
        stretch = max(scale, 1.0)
        centre = low + (np.arange(n)[:, None] + 0.5) * scale
        limits = (int(low), int(high)) if edge == "crop" else (0, length)
        at = np.arange(math.floor(low - 3 * stretch), math.ceil(high + 3 * stretch))
        x = np.abs((at + 0.5 - centre) / stretch)
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weight = np.where(x < 1, near, np.where(x < 2, far, 0)) if cubic else np.maximum(0, 1 - x)
        if edge != "pad":
            weight[:, (at < limits[0]) | (at >= limits[1])] = 0
        weight = weight / weight.sum(axis=1, keepdims=True)
        inside = (at >= 0) & (at < length)
        full = np.zeros((n, length))
        full[:, at[inside]] = weight[:, inside]
        return full

    rows, columns = matrix(y0, y1, height, size[0]), matrix(x0, x1, width, size[1])
    out = np.einsum("yh,hwc,xw->cyx", rows, image.astype(np.float64), columns, optimize=True)
    return np.clip(out, 0, 255)
