"""Crops: which box of the source image a view is made of, as x0, y0, x1, y1 in source pixels.

RandomResizedCrop draws as torchvision's: ten tries of area and ratio, else the largest central box of a fitting ratio.
CenterCrop is Resize then CenterCrop of the usual evaluation, as one box: taps may read outside it (edge "image").
"""

from __future__ import annotations

import math

import numpy as np

from data_loading.errors import ViewError
from data_loading.jit import jit
from data_loading.ops.base import OPS, interval, within
from data_loading.rng import integer, uniform

F32 = np.float32
RANDOM_RESIZED, CENTER = 0, 1


class Crop:
    """A rule for the box of a view. `edge`: "crop" (taps stop at the box) or "image" (taps may read outside it)."""

    rule: int
    edge = "crop"

    def params(self) -> list[float]:
        return []


@OPS.register
class RandomResizedCrop(Crop):
    """A box of random area (a fraction from `scale`) and aspect ratio (width / height, log-uniform from `ratio`)."""

    rule = RANDOM_RESIZED

    def __init__(self, scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)):
        self.scale = interval(self, "scale", scale, 1e-4, 1.0)
        self.ratio = interval(self, "ratio", ratio, 0.01, 100.0)

    def params(self) -> list[float]:
        return [*self.scale, *map(math.log, self.ratio), *self.ratio]


@OPS.register
class CenterCrop(Crop):
    """Resize the shorter side to size / ratio, then take the centre: 224 / 256 for ImageNet, 1 for the whole square."""

    rule = CENTER
    edge = "image"

    def __init__(self, ratio: float = 224 / 256):
        self.ratio = within(self, "ratio", ratio, 0.01, 1.0)

    def params(self) -> list[float]:
        return [self.ratio]


@jit
def draw_random_resized(params, state, height, width, box):
    for _ in range(10):
        area = height * width * uniform(state, params[0], params[1])
        ratio = math.exp(uniform(state, params[2], params[3]))
        w, h = int(np.rint(math.sqrt(area * ratio))), int(np.rint(math.sqrt(area / ratio)))
        if 0 < w <= width and 0 < h <= height:
            y, x = integer(state, height - h + 1), integer(state, width - w + 1)
            box[0], box[1], box[2], box[3] = x, y, x + w, y + h
            return
    w, h = width, height
    if width / height < params[4]:
        h = min(max(int(np.rint(width / params[4])), 1), height)
    elif width / height > params[5]:
        w = min(max(int(np.rint(height * params[5])), 1), width)
    y, x = (height - h) // 2, (width - w) // 2
    box[0], box[1], box[2], box[3] = x, y, x + w, y + h


@jit
def center_box(params, height, width, size, box):
    """torchvision's Resize(round(size / ratio)) and CenterCrop(size), carried back to source pixels."""
    short = int(size / params[0] + 0.5)
    h = short if height <= width else int(short * height / width)
    w = int(short * width / height) if height <= width else short
    top, left = np.rint((h - size) / 2.0), np.rint((w - size) / 2.0)
    box[0], box[1] = left * width / w, top * height / h
    box[2], box[3] = (left + size) * width / w, (top + size) * height / h


@jit
def draw(rule, params, state, height, width, size, box):
    if rule == RANDOM_RESIZED:
        draw_random_resized(params, state, height, width, box)
    else:
        center_box(params, height, width, size, box)


def check_crop(crop: object) -> Crop:
    if not isinstance(crop, Crop):
        raise ViewError(f"a crop is RandomResizedCrop or CenterCrop, not {crop!r}")
    return crop
