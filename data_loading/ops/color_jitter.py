"""Colour jitter: brightness, contrast, saturation and hue in random order, as torchvision's on float images.

brightness: f x.  contrast: f x + (1 - f) mean of gray.  saturation: f x + (1 - f) gray.  Each is clamped to 0..255.
hue: the hue of HSV is turned by a fraction of the circle; value and chroma are kept.
Gray is 0.2989 R + 0.587 G + 0.114 B, torchvision's weights.
"""

from __future__ import annotations

import colorsys

import numpy as np

from data_loading.kernel.jit import jit
from data_loading.kernel.rng import integer, uniform
from data_loading.kernel.simd import (
    LANES,
    absolute,
    fma,
    load,
    maximum,
    minimum,
    splat,
    store,
    where_at_least,
    where_equal,
)
from data_loading.ops.base import OPS, Op, flag, magnitude_params, within
from data_loading.ops.grayscale import gray, tensor_gray
from data_loading.ops.step import step

BRIGHTNESS, CONTRAST, SATURATION, HUE = 2, 3, 4, 5  # codes of steps, as saved plans hold them
COLOR_JITTER = 32  # the op that writes all four
F32 = np.float32


@OPS.register
class ColorJitter(Op):
    """Brightness, contrast, saturation and hue changed by random amounts in random order.

    v: the arguments. The first three sample a factor from [max(0, 1 - v), 1 + v], hue a turn from [-v, v], v <= 0.5.
    """

    rule = COLOR_JITTER
    steps = 4

    def __init__(
        self,
        brightness: float = 0.8,
        contrast: float = 0.8,
        saturation: float = 0.8,
        hue: float = 0.2,
        p: float = 0.8,
        **common,
    ):
        super().__init__(p, **common)
        self.brightness = within(self, "brightness", brightness, 0.0, 100.0)
        self.contrast = within(self, "contrast", contrast, 0.0, 100.0)
        self.saturation = within(self, "saturation", saturation, 0.0, 100.0)
        self.hue = within(self, "hue", hue, 0.0, 0.5)

    def params(self) -> list[float]:
        """brightness, contrast, saturation and hue: the strengths."""
        return [self.brightness, self.contrast, self.saturation, self.hue]


class OneFactor(Op):
    """Base of ops with one factor, a number or sampled from an interval; 1 leaves the image unchanged.

    bins: 0 samples uniformly from the interval, n one of n equidistant values.
    mirror: half of the factors f become 2 - f.
    """

    def __init__(
        self,
        factor: float | tuple[float, float] = (0.1, 1.9),
        bins: int = 0,
        mirror: bool = False,
        p: float = 0.5,
        **common,
    ):
        super().__init__(p, **common)
        self.factor = magnitude_params(
            self, "factor", factor, 0.0, 100.0, bins, about=1.0 if flag(self, "mirror", mirror) else None
        )

    def params(self) -> list[float]:
        return self.factor


@OPS.register
class Brightness(OneFactor):
    """Multiply by a factor: 0 is black."""

    rule = BRIGHTNESS


@OPS.register
class Contrast(OneFactor):
    """Move away from the mean gray by a factor: 0 is that gray."""

    rule = CONTRAST


@OPS.register
class Saturation(OneFactor):
    """Move away from each pixel's gray by a factor: 0 is a gray image. AutoAugment calls it Color."""

    rule = SATURATION


@OPS.register
class Hue(Op):
    """Turn the hue by a part of the colour circle, from -0.5 to 0.5: a number, or an interval to sample from.

    bins: 0 samples uniformly from the interval, n one of n equidistant values.
    """

    rule = HUE

    def __init__(self, turn: float | tuple[float, float] = (-0.1, 0.1), bins: int = 0, p: float = 0.5, **common):
        super().__init__(p, **common)
        self.turn = magnitude_params(self, "turn", turn, -0.5, 0.5, bins, about=None)

    def params(self) -> list[float]:
        return self.turn


@jit(inline=True)
def draw(params, state, op, arg, n):
    """Sample the factors, write up to four steps in random order (Fisher-Yates) -> the number of the next step.

    params: the strengths; one of zero writes no step.
    """
    order = (BRIGHTNESS, CONTRAST, SATURATION, HUE)
    at = np.uint32(0x3210)  # four fields of four bits
    for i in range(3, 0, -1):
        j = integer(state, i + 1)
        a, b = (at >> np.uint32(4 * i)) & np.uint32(15), (at >> np.uint32(4 * j)) & np.uint32(15)
        swap = (a ^ b) if i != j else np.uint32(0)
        at ^= (swap << np.uint32(4 * i)) | (swap << np.uint32(4 * j))
    for i in range(4):
        which = np.int64((at >> np.uint32(4 * i)) & np.uint32(15))
        strength = params[which]
        low = -strength if which == 3 else max(0.0, 1.0 - strength)
        value = uniform(state, low, strength if which == 3 else 1.0 + strength)
        if strength > 0.0:
            op[n] = order[which]
            arg[n, 0] = value
            n += 1
    return n


@jit
def clamp(v):
    """A vector of float32 clamped to 0..255."""
    return minimum(maximum(v, splat(F32(0.0))), splat(F32(255.0)))


@jit(inline=True)
def brightness(tile, factor):
    """Multiply a tile, float32, by factor in place, clamped to 0..255."""
    for i in range(0, tile.size, LANES):
        store(tile, i, clamp(load(tile, i) * factor))


@jit(inline=True)
def contrast(tile, factor, mean):
    """factor x + (1 - factor) mean for each x of a tile, in place; mean: gray of the whole image on average, 0..255."""
    rest = mean * (F32(1.0) - factor)
    for i in range(0, tile.size, LANES):
        store(tile, i, clamp(fma(load(tile, i), splat(factor), splat(rest))))


@jit(inline=True)
def saturation(tile, factor):
    """factor x + (1 - factor) gray for each x of a tile (3 n,) float32, in place."""
    n = tile.size // 3
    for i in range(0, n, LANES):
        r, g, b = load(tile, i), load(tile, n + i), load(tile, 2 * n + i)
        rest = gray(r, g, b) * (F32(1.0) - factor)
        store(tile, i, clamp(fma(r, splat(factor), rest)))
        store(tile, n + i, clamp(fma(g, splat(factor), rest)))
        store(tile, 2 * n + i, clamp(fma(b, splat(factor), rest)))


@jit
def ramp(x, chroma):
    """Vectors: x clamped to 0..chroma."""
    return minimum(maximum(x, splat(F32(0.0))), chroma)


@jit(inline=True)
def hue(tile, turn):
    """Turn the hue of a tile (3 n,) float32 by `turn` of the colour circle, in place.

    With h in sixths of the circle, red is low + chroma min(max(|h - 3| - 1, 0), 1), and so on; the code computes with h
    times chroma, which avoids dividing by chroma.
    """
    n, shift = tile.size // 3, splat((turn if turn >= 0 else turn + F32(1.0)) * F32(6.0))
    zero, two, four, six = splat(F32(0.0)), splat(F32(2.0)), splat(F32(4.0)), splat(F32(6.0))
    for i in range(0, n, LANES):
        r, g, b = load(tile, i), load(tile, n + i), load(tile, 2 * n + i)
        top, low = maximum(r, maximum(g, b)), minimum(r, minimum(g, b))
        chroma = top - low
        h = where_equal(top, g, fma(chroma, two, b - r), fma(chroma, four, r - g))
        h = fma(chroma, shift, where_equal(top, r, g - b, h))  # from -1 to 11, times chroma
        h = where_at_least(h, zero, h, fma(chroma, six, h))
        whole = chroma * six
        h = where_at_least(h, whole, h - whole, h)
        store(tile, i, low + ramp(absolute(h - chroma * F32(3.0)) - chroma, chroma))
        store(tile, n + i, low + ramp(chroma * two - absolute(h - chroma * two), chroma))
        store(tile, 2 * n + i, low + ramp(chroma * two - absolute(h - chroma * four), chroma))


def reference_brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """factor x, clamped; image (3, H, W) in 0..255 -> (3, H, W) float64."""
    return np.clip(image * factor, 0, 255)


def reference_contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """factor x + (1 - factor) mean of gray, clamped; image (3, H, W) in 0..255 -> (3, H, W) float64."""
    mean = np.tensordot([0.2989, 0.587, 0.114], image, 1).mean()
    return np.clip(image * factor + mean * (1 - factor), 0, 255)


def reference_saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """factor x + (1 - factor) gray, clamped; image (3, H, W) in 0..255 -> (3, H, W) float64."""
    return np.clip(image * factor + np.tensordot([0.2989, 0.587, 0.114], image, 1) * (1 - factor), 0, 255)


def reference_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of HSV; image (3, H, W) in 0..255 -> (3, H, W) float64."""
    out = np.empty_like(image, dtype=np.float64)
    for y, x in np.ndindex(image.shape[1:]):
        h, s, v = colorsys.rgb_to_hsv(*(image[:, y, x].astype(float) / 255))
        out[:, y, x] = colorsys.hsv_to_rgb((h + turn) % 1.0, s, v)
    return out * 255


def tensor_brightness(images, factor):
    """images (N, 3, H, W), factor (N,)."""
    return (images * factor[:, None, None, None]).clamp(0, 255)


def tensor_contrast(images, factor):
    """images (N, 3, H, W), factor (N,)."""
    return tensor_blend(images, tensor_gray(images).mean((2, 3), keepdim=True), factor)


def tensor_saturation(images, factor):
    """images (N, 3, H, W), factor (N,)."""
    return tensor_blend(images, tensor_gray(images), factor)


def tensor_blend(images, others, factor):
    """factor x + (1 - factor) y, clamped to 0..255; images (N, 3, H, W), others broadcast to them, factor (N,)."""
    factor = factor[:, None, None, None]
    return (images * factor + others * (1 - factor)).clamp(0, 255)


def tensor_hue(images, turn):
    """images (N, 3, H, W), turn (N,) in parts of the circle. As `hue`: in sixths of the circle times chroma."""
    r, g, b = images.split(1, dim=1)
    top, low = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    chroma = top - low
    h = (4 * chroma + r - g).where(top != g, 2 * chroma + b - r)
    h = h.where(top != r, g - b) + 6 * chroma * turn.remainder(1)[:, None, None, None]
    h = h.where(h >= 0, h + 6 * chroma)
    h = h.where(h < 6 * chroma, h - 6 * chroma)
    out = images.clone()
    out[:, :1] = (h - 3 * chroma).abs() - chroma
    out[:, 1:2] = 2 * chroma - (h - 2 * chroma).abs()
    out[:, 2:] = 2 * chroma - (h - 4 * chroma).abs()
    return low + out.clamp(min=0).minimum(chroma)


step(
    BRIGHTNESS,
    "brightness",
    ("factor",),
    reference=reference_brightness,
    tensor=tensor_brightness,
    on_rows=True,
    on_values=True,
)
step(CONTRAST, "contrast", ("factor",), reference=reference_contrast, tensor=tensor_contrast)
step(SATURATION, "saturation", ("factor",), reference=reference_saturation, tensor=tensor_saturation, on_rows=True)
step(HUE, "hue", ("turn",), reference=reference_hue, tensor=tensor_hue, on_rows=True)
