"""Crops: which box of the source image becomes a view, as x0, y0, x1, y1 in source pixels.

RandomResizedCrop samples as torchvision's: ten tries of area and ratio, else the largest central box of a ratio in
range. CenterCrop is the Resize and CenterCrop of the usual evaluation as one box; taps may read outside it (edge
"image"). PadCrop shifts the whole image, as padding with black and cropping at random do: its box may leave the image
(edge "pad"). UniformCrop is MASSRL's: both sides times one ratio.  CornerCrop is FFCV-SSL's.  Resize takes the whole
image, and so does Pad, but without resizing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from data_loading.config.described import build
from data_loading.errors import ViewError, one_of
from data_loading.kernel.jit import NO, YES, ZERO, jit
from data_loading.kernel.rng import integer, uniform
from data_loading.ops.base import OPS, Streamed, interval, set_stream, whole, within

F32 = np.float32
RANDOM_RESIZED, CENTER, PAD, WHOLE, UNIFORM, CORNER, FILL_UP = range(7)
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


class Crop(Streamed):
    """A rule for the box of a view.

    edge: what the taps of the resizing may read outside the box. "crop": nothing; "image": pixels of the image; "pad":
    pixels of the image, and black outside it.
    name, share, seed, fixed: of the random stream, as an op's.
    """

    rule: int
    edge = "crop"

    def __init__(self, name: str | None = None, share: str | None = None, seed: int | None = None, fixed: bool = False):
        set_stream(self, name, share, seed, fixed)

    def params(self) -> list[float]:
        """Up to PARAMS plain numbers, which the compiled rule reads; none by default."""
        return []


@OPS.register
class RandomResizedCrop(Crop):
    """A box of random area (a fraction from `scale`) and aspect ratio (width / height, log-uniform from `ratio`)."""

    rule = RANDOM_RESIZED

    def __init__(
        self, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3), **common: Any
    ):
        super().__init__(**common)
        self.scale = interval(self, "scale", scale, 1e-4, 1.0)
        self.ratio = interval(self, "ratio", ratio, 0.01, 100.0)

    def params(self) -> list[float]:
        """scale (low, high), the logarithms of ratio (low, high), and ratio (low, high)."""
        return [*self.scale, *map(math.log, self.ratio), *self.ratio]


@OPS.register
class CenterCrop(Crop):
    """Resize the shorter side to size / ratio, then take the centre: 224 / 256 for ImageNet, 1 for the whole square."""

    rule = CENTER
    edge = "image"

    def __init__(self, ratio: float = 224 / 256, **common: Any):
        super().__init__(**common)
        self.ratio = within(self, "ratio", ratio, 0.01, 1.0)

    def params(self) -> list[float]:
        return [self.ratio]


@OPS.register
class PadCrop(Crop):
    """Pad the image by `padding` black pixels of a `size`-pixel view on each side, then crop at random (CIFAR's)."""

    rule = PAD
    edge = "pad"

    def __init__(self, padding: int = 4, **common: Any):
        super().__init__(**common)
        self.padding = whole(self, "padding", padding, 0, 1024)

    def params(self) -> list[float]:
        return [self.padding]


@OPS.register
class UniformCrop(Crop):
    """A box of the image's own shape: one ratio, uniform from an interval, times both sides; anywhere in the image.

    From MASSRL's figure (Tran et al., arXiv:2205.11772). Its TensorFlow code, which resizes to a square first,
    has equal boxes.
    """

    rule = UNIFORM

    def __init__(self, ratio: tuple[float, float] = (0.5, 1.0), **common: Any):
        super().__init__(**common)
        self.ratio = interval(self, "ratio", ratio, 0.01, 1.0)

    def params(self) -> list[float]:
        return list(self.ratio)


@OPS.register
class CornerCrop(Crop):
    """A square in a corner of the image, its side `ratio` times the shorter side of the image (FFCV-SSL's).

    corner: top_left, top_right, bottom_left or bottom_right.
    """

    rule = CORNER

    def __init__(self, ratio: float = 1.0, corner: str = "top_left", **common: Any):
        super().__init__(**common)
        self.ratio = within(self, "ratio", ratio, 0.01, 1.0)
        self.corner = one_of("CornerCrop: corner", corner, CORNERS, ViewError)

    def params(self) -> list[float]:
        """ratio, and the index of the corner in CORNERS."""
        return [self.ratio, float(CORNERS.index(self.corner))]


@OPS.register
class Resize(Crop):
    """The whole image, resized to the view's square whatever its shape."""

    rule = WHOLE


@OPS.register
class Pad(Crop):
    """The image at its own scale in the top left corner of the view, black right of it and below; the rest is cut."""

    rule = FILL_UP
    edge = "pad"


@jit(inline=True)
def draw_random_resized(params, state, height, width, box):
    """Sample torchvision's RandomResizedCrop: ten tries, else the largest central box of a ratio in range.

    params: RandomResizedCrop.params.  state: of kernel/rng.py.  height, width: of the image.
    box (4,) float32: written.
    """
    if not try_random_resized(params, state, height, width, box, box, NO):
        central(params, ZERO, ZERO, width, height, box)


@jit
def draw_disjoint(params, state, height, width, other, box):
    """Sample as draw_random_resized, but reject each try that overlaps the box `other` (4,).

    After ten rejected tries the box is the central one of the largest strip beside `other`. If `other` is the whole
    image, there is no strip, and the boxes overlap.
    """
    if try_random_resized(params, state, height, width, other, box, YES):
        return
    x0, y0, x1, y1 = int(other[0]), int(other[1]), int(other[2]), int(other[3])
    left, right, top, bottom = x0 * height, (width - x1) * height, y0 * width, (height - y1) * width
    largest = max(max(left, right), max(top, bottom))
    if largest == 0:
        draw_random_resized(params, state, height, width, box)
    elif largest == left:
        central(params, ZERO, ZERO, x0, height, box)
    elif largest == right:
        central(params, x1, ZERO, width, height, box)
    elif largest == top:
        central(params, ZERO, ZERO, width, y0, box)
    else:
        central(params, ZERO, y1, width, height, box)


@jit
def overlap(a, x0, y0, x1, y1):
    """Whether box a (4,) and the box (x0, y0, x1, y1) have area in common."""
    return a[0] < x1 and x0 < a[2] and a[1] < y1 and y0 < a[3]


@jit
def try_random_resized(params, state, height, width, other, box, disjoint):
    """Try ten random boxes; write the first inside the image (if `disjoint`, outside `other`) -> whether one fits."""
    for _ in range(10):
        area = height * width * uniform(state, params[0], params[1])
        ratio = math.exp(uniform(state, params[2], params[3]))
        w, h = int(np.rint(math.sqrt(area * ratio))), int(np.rint(math.sqrt(area / ratio)))
        if 0 < w <= width and 0 < h <= height:
            y, x = integer(state, height - h + 1), integer(state, width - w + 1)
            if not (disjoint and overlap(other, x, y, x + w, y + h)):
                box[0], box[1], box[2], box[3] = x, y, x + w, y + h
                return True
    return False


@jit
def central(params, x0, y0, x1, y1, box):
    """Write the largest central box of the region (x0, y0, x1, y1) whose width / height is in range.

    params[4], params[5]: the least and the largest ratio.  box (4,): written.
    """
    width, height = x1 - x0, y1 - y0
    w, h = width, height
    if width / height < params[4]:
        h = min(max(int(np.rint(width / params[4])), 1), height)
    elif width / height > params[5]:
        w = min(max(int(np.rint(height * params[5])), 1), width)
    y, x = y0 + (height - h) // 2, x0 + (width - w) // 2
    box[0], box[1], box[2], box[3] = x, y, x + w, y + h


@jit(inline=True)
def center_box(params, height, width, size, box):
    """Write torchvision's Resize(round(size / params[0])) and CenterCrop(size), in source pixels, to box (4,)."""
    short = int(size / params[0] + 0.5)
    h = short if height <= width else int(short * height / width)
    w = int(short * width / height) if height <= width else short
    top, left = np.rint((h - size) / 2.0), np.rint((w - size) / 2.0)
    box[0], box[1] = left * width / w, top * height / h
    box[2], box[3] = (left + size) * width / w, (top + size) * height / h


@jit(inline=True)
def pad_box(params, state, height, width, size, box):
    """Sample the whole image's box, shifted along both axes by whole pixels of the view, at most params[0] of them."""
    dy, dx = integer(state, 2 * int(params[0]) + 1) - params[0], integer(state, 2 * int(params[0]) + 1) - params[0]
    x, y = dx * width / size, dy * height / size
    box[0], box[1], box[2], box[3] = x, y, x + width, y + height


@jit(inline=True)
def uniform_box(params, state, height, width, box):
    """Sample a box of the image: both sides times one ratio in [params[0], params[1]], rounded, at least one pixel."""
    ratio = uniform(state, params[0], params[1])
    h, w = max(int(np.rint(ratio * height)), 1), max(int(np.rint(ratio * width)), 1)
    y, x = integer(state, height - h + 1), integer(state, width - w + 1)
    box[0], box[1], box[2], box[3] = x, y, x + w, y + h


@jit(inline=True)
def corner_box(params, height, width, box):
    """The square in corner params[1] of CORNERS; its side is params[0] times the shorter side, at least a pixel."""
    side, corner = max(int(params[0] * min(height, width)), 1), int(params[1])
    x = width - side if corner % 2 == 1 else 0
    y = height - side if corner >= 2 else 0
    box[0], box[1], box[2], box[3] = x, y, x + side, y + side


@jit
def draw(rule, params, state, height, width, size, box):
    """Sample the box of a crop rule and write it to box (4,) float32: x0, y0, x1, y1 in source pixels.

    rule: the class's code.  params (PARAMS,) float64: of its `params()`.  state: of kernel/rng.py.  height, width: of
    the image in pixels.  size: side of the view in pixels.
    """
    if rule == RANDOM_RESIZED:
        draw_random_resized(params, state, height, width, box)
    elif rule == PAD:
        pad_box(params, state, height, width, size, box)
    elif rule == UNIFORM:
        uniform_box(params, state, height, width, box)
    elif rule == CORNER:
        corner_box(params, height, width, box)
    elif rule == WHOLE:
        box[0], box[1], box[2], box[3] = 0, 0, width, height
    elif rule == FILL_UP:
        box[0], box[1], box[2], box[3] = 0, 0, size, size
    else:
        center_box(params, height, width, size, box)


def as_crop(crop: object) -> Crop:
    """Build a Crop from a name or {class_path, init_args}, as a config holds it; a Crop is returned unchanged."""
    return build(crop, OPS, Crop)
