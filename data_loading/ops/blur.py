"""Gaussian blur: a true Gaussian of `sigma` pixels, cut at radius ceil(3 sigma) and normalised, edges reflected.

Equal to torchvision's gaussian_blur with kernel size 2 ceil(3 sigma) + 1. Pillow's GaussianBlur replaces the Gaussian
by three boxes: over 200 photographs of 224 x 224 and sigma from 0.5 to 5 it differs by 0.3 to 0.6 levels of 255 on
average and by up to 39, and 85 to 97 % of pixels are within one level (ours and torchvision's: all).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import correlate1d

from data_loading.errors import ViewError
from data_loading.kernel.jit import jit
from data_loading.kernel.rng import uniform
from data_loading.kernel.simd import LANES, at, levels, load, load_fixed, splat_fixed, store, store_fixed, times
from data_loading.ops.base import OPS, Op, interval, whole
from data_loading.ops.step import step

BLUR = 7  # the code of the step, as saved plans hold it
F32 = np.float32
MARGIN = 64  # on both sides of a line: the largest radius is 60


@OPS.register
class GaussianBlur(Op):
    """Blur by a Gaussian whose sigma is sampled uniformly from an interval of pixels of the view.

    kernel_size: number of taps of each axis, odd, as torchvision's; None: all within three sigma.
    """

    rule = BLUR

    def __init__(
        self, sigma: tuple[float, float] = (0.1, 2.0), kernel_size: int | None = None, p: float = 0.5, **common
    ):
        super().__init__(p, **common)
        self.sigma = interval(self, "sigma", sigma, 0.01, 20.0)
        if kernel_size is not None and whole(self, "kernel_size", kernel_size, 1, 121) % 2 == 0:
            raise ViewError(f"GaussianBlur: kernel_size is {kernel_size}; it must be odd, from 1 to 121")
        self.kernel_size = kernel_size

    def params(self) -> list[float]:
        """sigma (low, high), and kernel_size or 0."""
        return [*self.sigma, float(self.kernel_size or 0)]


def reference(image: np.ndarray, sigma: float, radius: float) -> np.ndarray:
    """image (3, H, W) in 0..255 -> (3, H, W) float64; sigma, radius in pixels."""
    radius = min(int(radius), min(image.shape[1:]) - 1)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    return correlate1d(correlate1d(image.astype(float), taps, axis=2, mode="mirror"), taps, axis=1, mode="mirror")


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample sigma and write step n, with the radius in pixels, not yet limited by the view's side -> n + 1."""
    op[n] = BLUR
    sigma = uniform(state, params[0], params[1])
    arg[n, 0] = sigma
    arg[n, 1] = math.ceil(F32(3.0) * arg[n, 0]) if params[2] == 0.0 else (params[2] - 1.0) / 2.0
    return n + 1


@jit
def reflect(i, n):
    """Index i of a line of n mirrored at its ends without repeating them; -n < i < 2 n - 1."""
    i = -i if i < 0 else i
    return 2 * (n - 1) - i if i >= n else i


@jit
def blur_radius(sigma, radius, height, width):
    """The radius in pixels, below the view's sides; 0 below sigma 0.2, where a neighbour's weight is under 4e-6."""
    return min(int(radius), min(height, width) - 1) if sigma >= F32(0.2) else 0


@jit
def gaussian(sigma, radius, taps):
    """Write taps[0..radius] int32: the weights at distance 0, 1, ..., in 65536ths.

    All 2 radius + 1 weights add up to 65536, or to 65535 if only the centre counts.
    """
    total = 1.0
    for k in range(1, radius + 1):
        total += 2.0 * math.exp(-0.5 * (k / sigma) ** 2)
    rest = 65536
    for k in range(1, radius + 1):
        taps[k] = int(65536.0 * math.exp(-0.5 * (k / sigma) ** 2) / total + 0.5)
        rest -= 2 * taps[k]
    taps[0] = min(rest, 65535)  # the largest uint16


@jit
def across(tile, row, n, width, radius, taps, lines, out, place):
    """Blur the row of a tile that starts at `row` along x -> out[place :], (3 n,) int16, in 128ths of a level.

    tile (3 k,) float32.  n: pixels of a row, `width` of them in the view.  taps: of `gaussian`.
    lines: scratch (3 (n + 2 MARGIN),) int16.
    """
    step, channel = n + 2 * MARGIN, tile.size // 3
    for c in range(3):
        line = c * step + MARGIN
        for i in range(0, n, LANES):
            store(lines, line + i, load(tile, c * channel + row + i))
        for k in range(1, radius + 1):
            lines[line - k] = lines[line + k]
            lines[line + width - 1 + k] = lines[line + width - 1 - k]
    lost = splat_fixed((radius + 1) >> 1)  # each product is rounded down, by half a unit on average
    for i in range(0, n, LANES):
        x, y, z, w = MARGIN + i, MARGIN + step + i, MARGIN + 2 * step + i, splat_fixed(taps[0])
        a, b = lost + times(load_fixed(lines, x), w), lost + times(load_fixed(lines, y), w)
        c = lost + times(load_fixed(lines, z), w)
        for k in range(1, radius + 1):
            w = splat_fixed(taps[k])
            a = a + times(load_fixed(lines, x - k) + load_fixed(lines, x + k), w)
            b = b + times(load_fixed(lines, y - k) + load_fixed(lines, y + k), w)
            c = c + times(load_fixed(lines, z - k) + load_fixed(lines, z + k), w)
        store_fixed(out, place + i, a)
        store_fixed(out, place + n + i, b)
        store_fixed(out, place + 2 * n + i, c)


@jit
def down(ring, y, height, radius, taps, places, tile):
    """Blur along y: row y of the image, from a ring of 2 radius + 1 rows that `across` wrote, into the tile.

    tile (3 n,) float32.  height: of the view, whose edges are reflected.  places (2 radius + 1,) int64: scratch.
    """
    n = tile.size
    for k in range(-radius, radius + 1):
        places[radius + k] = reflect(y + k, height) % (2 * radius + 1) * n
    lost = splat_fixed((radius + 1) >> 1)
    for i in range(0, n, 3 * LANES):
        w, o = splat_fixed(taps[0]), places[radius] + i
        a, b = lost + times(load_fixed(ring, o), w), lost + times(load_fixed(ring, o + LANES), w)
        c = lost + times(load_fixed(ring, o + 2 * LANES), w)
        for k in range(1, radius + 1):
            w, p, q = splat_fixed(taps[k]), at(places, radius - k) + i, at(places, radius + k) + i
            a = a + times(load_fixed(ring, p) + load_fixed(ring, q), w)
            b = b + times(load_fixed(ring, p + LANES) + load_fixed(ring, q + LANES), w)
            c = c + times(load_fixed(ring, p + 2 * LANES) + load_fixed(ring, q + 2 * LANES), w)
        store(tile, i, levels(a))
        store(tile, i + LANES, levels(b))
        store(tile, i + 2 * LANES, levels(c))


def tensor(images, sigma, radius):
    """images (N, 3, H, W) -> blurred images; sigma, radius (N,), in pixels.

    Computed tap by tap: on some devices a convolution has fewer bits than float32.
    """
    from torch.nn.functional import pad

    height, width = images.shape[2:]
    radius = radius.clamp(max=min(height, width) - 1)
    most = int(radius.max())
    distance = radius.new_tensor(range(most + 1))
    taps = (-0.5 * (distance / sigma[:, None]) ** 2).exp() * (distance <= radius[:, None])  # (N, most + 1)
    taps = (taps / (2 * taps.sum(1, keepdim=True) - 1))[:, :, None, None, None]  # the centre counts once
    for axis, n in ((3, width), (2, height)):
        wide = pad(images, (most, most, 0, 0) if axis == 3 else (0, 0, most, most), mode="reflect")
        images = wide.narrow(axis, most, n) * taps[:, 0]
        for k in range(1, most + 1):
            images += (wide.narrow(axis, most - k, n) + wide.narrow(axis, most + k, n)) * taps[:, k]
    return images


step(BLUR, "blur", ("sigma", "radius"), reference=reference, tensor=tensor)
