"""Crop and resize, antialiased: Pillow's and torchvision's `antialias=True`, without rounding to levels in between.

The vertical pass is first: it makes one output row at a time, which stays in the L1 cache. The horizontal pass reads
that row and writes a tile: the row's three channels, one after another. A tap is a source pixel with a weight. All
pixels of an axis have equally many taps, so that the loops need no tests.

Weights and the row between the passes are 16-bit integers, of which a register holds twice as many as of float32: a
level is 128 of the row's units (64 for bicubic, which overshoots). The error is at most 0.15 of a level where up to a
hundred pixels of an axis become one, and at most 0.4 where thousands do.
"""

from __future__ import annotations

import math

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.simd import (
    LANES,
    add_neighbours,
    at,
    fma,
    load,
    load_fixed,
    maximum,
    minimum,
    no_sums,
    splat,
    splat_fixed,
    store,
    store_fixed,
    store_sums,
    times,
)

F32 = np.float32
BILINEAR, BICUBIC = 0, 1
INTERPOLATIONS = {"bilinear": BILINEAR, "bicubic": BICUBIC}
NOTHING = 1e-6  # smaller weights are dropped; at most one at either end, where support is cut to whole pixels
MOST_FAST = 16  # taps down a column whose products are each rounded, with an error of up to half a unit
ONE = 1 << 14  # the weight 1 as an integer; twice that for the vertical pass of bilinear, which cannot overshoot
UNIT, CUBIC_UNIT = F32(1 / (128 * ONE)), F32(1 / (64 * ONE))  # a unit of the horizontal pass's sums, in levels
SUPPORT = (1, 2)  # half the width of each kernel, in source pixels, unless the image is reduced


def most_taps(longest: int, size: int) -> int:
    """An upper bound for the taps of a pixel when up to `longest` source pixels become `size`."""
    return 2 * SUPPORT[BICUBIC] * math.ceil(max(longest / size, 1.0)) + 2


@jit
def kernel(x, cubic):
    """The weight at distance x: triangle, or Keys' cubic with a = -0.5 (Pillow's)."""
    x = abs(x)
    if not cubic:
        return max(0.0, 1.0 - x)
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x < 2.0 else 0.0


@jit
def taps(low, high, limit_low, limit_high, n, cubic, pad, flip, first, weight):
    """Taps of n output pixels over the source interval [low, high), reading only [limit_low, limit_high); returns K.

    Pixel i is the sum over k < K of weight[k, i] source[first[i] + k]. The weights sum to 1, or with `pad` to the part
    inside the limits, so that the outside counts as black. flip: output pixels in reverse order. Writes first (>= n,)
    int64 and weight (>= K, >= n) float32; past the n-th pixel first is limit_low and the weights are 0.
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
    """`taps` where pixels are copied unresized: one tap for each pixel, of weight 1 inside the limits and 0 outside."""
    for i in range(first.size):
        at = n - 1 - i if flip and i < n else i
        inside = i < n and limit_low <= low + i < limit_high
        first[at] = min(max(low + i, limit_low), limit_high - 1)
        weight[0, at] = 1.0 if inside else 0.0
    return 1


@jit
def integers(weight, count, one, whole):
    """Round the weights to integers in units of 1 / one: whole[k n + i] from weight[k, i], k < count.

    Rounding errors are carried to the next tap, so the sum of a pixel's weights is off by at most half a unit.
    """
    n = weight.shape[1]
    for i in range(n):
        total, before = 0.5, 0
        for k in range(count):
            total += weight[k, i] * one
            now = int(math.floor(total))
            whole[k * n + i] = now - before
            before = now


@jit
def pair(whole, count, n, pairs):
    """Pack two 16-bit weights into each int32, for `horizontal` -> (count + 1) // 2; an odd last tap is paired with 0.

    whole: weights of n pixels, from `integers`. pairs int32: for each pair of taps and each 8 pixels, the packed
    weights of pixels 0, 4, 1, 5, 2, 6, 3 and 7, four times each.
    """
    at = 0
    for k in range(0, count, 2):
        for x in range(0, n, 8):
            for i in range(8):
                w = k * n + x + (i >> 1) + 4 * (i & 1)
                second = whole[w + n] if k + 1 < count else np.int32(0)
                both = second << 16 | whole[w] & 0xFFFF
                for j in range(4):
                    pairs[at + j] = both
                at += 4
    return (count + 1) // 2


@jit
def vertical(source, at, stride, n, weight, pitch, y, count, row):
    """row[:n] = sum over k < count of weight[k pitch + y] source[at + k stride :][:n] / 256; n >= 1.

    source uint8, row int16. Each product is rounded down, which a constant of half a unit for each tap makes up for.
    More than MOST_FAST taps go to `vertical_exact`.
    """
    if n < LANES or count > MOST_FAST:
        vertical_exact(source, at, stride, n, weight, pitch, y, count, row)
        return
    lost = 0  # rounding down loses half a unit for each tap on average
    for w in range(y, y + count * pitch, pitch):
        lost += 1 if weight[w] > 0 else -1 if weight[w] < 0 else 0
    start = splat_fixed(lost >> 1)
    i = 0
    while i + 4 * LANES <= n:
        o = at + i
        a = b = c = d = start
        for w in range(y, y + count * pitch, pitch):
            if weight[w] >= 0:
                f = splat_fixed(weight[w])
                a, b = a + times(load_fixed(source, o), f), b + times(load_fixed(source, o + LANES), f)
                c, d = c + times(load_fixed(source, o + 2 * LANES), f), d + times(load_fixed(source, o + 3 * LANES), f)
            else:
                f = splat_fixed(-weight[w])
                a, b = a - times(load_fixed(source, o), f), b - times(load_fixed(source, o + LANES), f)
                c, d = c - times(load_fixed(source, o + 2 * LANES), f), d - times(load_fixed(source, o + 3 * LANES), f)
            o += stride
        store_fixed(row, i, a)
        store_fixed(row, i + LANES, b)
        store_fixed(row, i + 2 * LANES, c)
        store_fixed(row, i + 3 * LANES, d)
        i += 4 * LANES
    while i < n:
        i = min(i, n - LANES)  # the last vector overlaps the one before, so that nothing past the row is read
        o, a = at + i, start
        for w in range(y, y + count * pitch, pitch):
            f = times(load_fixed(source, o), splat_fixed(abs(weight[w])))
            a = a + f if weight[w] >= 0 else a - f
            o += stride
        store_fixed(row, i, a)
        i += LANES


@jit
def vertical_exact(source, at, stride, n, weight, pitch, y, count, row):
    """`vertical` with a single rounding of each pixel: for more than MOST_FAST taps, or rows shorter than a vector."""
    unit = F32(1 / 32768)  # `store` multiplies by 128
    i = 0
    while i < n and n >= 4 * LANES:
        i = min(i, n - 4 * LANES)
        o = at + i
        a = b = c = d = splat(F32(0.0))
        for w in range(y, y + count * pitch, pitch):
            f = splat(F32(weight[w]))
            a, b = fma(load(source, o), f, a), fma(load(source, o + LANES), f, b)  # below 2^24: exact
            c, d = fma(load(source, o + 2 * LANES), f, c), fma(load(source, o + 3 * LANES), f, d)
            o += stride
        store(row, i, a * unit)
        store(row, i + LANES, b * unit)
        store(row, i + 2 * LANES, c * unit)
        store(row, i + 3 * LANES, d * unit)
        i += 4 * LANES
    while i < n:
        value = 128
        for k in range(count):
            value += weight[k * pitch + y] * source[at + k * stride + i]
        row[i] = value >> 8
        i += 1


@jit
def horizontal(row, first, weight, pairs, n, scale, tile, place):
    """Resize a row (3 w,) int16 of interleaved RGB to n pixels of each channel, written to the tile from `place` on.

    first (>= n,) int64: the position in row of each pixel's first tap.  weight int32, pairs: from `pair`.  scale:
    factor of the 32-bit sums.  Reads 8 numbers of row from the first tap of each pair on.
    """
    step = tile.size // 3
    for x in range(0, n, 8):
        a = b = c = d = no_sums()
        o, w = 0, 4 * x
        for _ in range(pairs):
            a = add_neighbours(a, row, at(first, x) + o, at(first, x + 4) + o, weight, w)
            b = add_neighbours(b, row, at(first, x + 1) + o, at(first, x + 5) + o, weight, w + 8)
            c = add_neighbours(c, row, at(first, x + 2) + o, at(first, x + 6) + o, weight, w + 16)
            d = add_neighbours(d, row, at(first, x + 3) + o, at(first, x + 7) + o, weight, w + 24)
            o, w = o + 6, w + 4 * first.size
        store_sums(tile, place + x, step, scale, a, b, c, d)


@jit
def clamp(tile):
    """Clamp a tile, float32, to 0..255 in place: bicubic overshoots."""
    for i in range(0, tile.size, LANES):
        store(tile, i, minimum(maximum(load(tile, i), splat(F32(0.0))), splat(F32(255.0))))


def reference(image: np.ndarray, box, size: tuple[int, int], edge: str = "crop", cubic: bool = False) -> np.ndarray:
    """Crop and resize image (H, W, 3) -> (3, height, width) float64 in 0..255, by one matrix of weights for each axis.

    box: x0, y0, x1, y1 in source pixels.  size: (height, width).  edge: as Crop.edge.
    """
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


def tensor(image, boxes, size: tuple[int, int], edge: str = "crop", cubic: bool = False):
    """`reference` in torch: boxes (N, 4) in an image (3, H, W), or one box in each of (N, 3, H, W) -> (N, 3, *size).

    Returns float32. The weights are made in float64 on the device of `boxes`.
    """
    import torch

    def matrix(low, high, length: int, n: int):  # (N, n, length)
        low, high = low.double()[:, None, None], high.double()[:, None, None]
        scale = (high - low) / n
        stretch = scale.clamp(min=1)
        start, stop = (low - 3 * stretch).floor().min(), (high + 3 * stretch).ceil().max()
        start, stop = (min(int(start), 0), max(int(stop), length)) if edge == "pad" else (0, length)
        at = torch.arange(start, stop, device=boxes.device)
        x = ((at + 0.5 - low - (torch.arange(n, device=boxes.device)[:, None] + 0.5) * scale) / stretch).abs()
        near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
        weight = near.where(x < 1, far * (x < 2)) if cubic else (1 - x).clamp(min=0)
        if edge == "crop":
            weight = weight * ((at >= low.trunc()) & (at < high.trunc()))
        weight = weight / weight.sum(2, keepdim=True)
        return weight[:, :, -start : length - start].to(image.device, torch.float32)

    (x0, y0, x1, y1), (height, width) = boxes.unbind(1), image.shape[-2:]
    rows, columns = matrix(y0, y1, height, size[0]), matrix(x0, x1, width, size[1])
    return torch.einsum(f"nyh,{'nchw'[-image.dim() :]},nxw->ncyx", rows, image.float(), columns).clamp(0, 255)
