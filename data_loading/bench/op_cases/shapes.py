"""Cases of flips, warps, crops, and ops that cover a part of the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import cv2
import numpy as np
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image, ImageOps

from data_loading import ops
from data_loading.bench.op_cases.case import OPENCV, PILLOW, TORCHVISION, OpCase, case
from data_loading.ops import crop as crops_
from data_loading.ops import elastic as elastic_
from data_loading.ops.affine import AFFINE
from data_loading.ops.base import Op
from data_loading.ops.crop import Crop
from data_loading.ops.elastic import ELASTIC
from data_loading.ops.erasing import ERASING

NEAREST, BILINEAR = Image.Resampling.NEAREST, Image.Resampling.BILINEAR
TV_NEAREST, TV_BILINEAR = tv.InterpolationMode.NEAREST, tv.InterpolationMode.BILINEAR
KEY = (123, 456)


def flips(side: int) -> Iterator[OpCase]:
    """Cases of both flips."""
    yield case(
        "horizontal flip", ops.HorizontalFlip(), side, ImageOps.mirror, tv.horizontal_flip, lambda i: cv2.flip(i, 1)
    )
    yield case("vertical flip", ops.VerticalFlip(), side, ImageOps.flip, tv.vertical_flip, lambda i: cv2.flip(i, 0))


def warps(side: int) -> Iterator[OpCase]:
    """Cases of rotation, shear, translation, affine and elastic maps."""
    for degrees in (-30.0, 9.0, 45.0, 90.0, 180.0, 270.0):
        yield rotate(side, degrees, 0)
    yield rotate(side, -17.0, 0, "bilinear")
    for m, axis, centre in ((0.3, "x", False), (-0.3, "y", False), (0.21, "x", True), (-0.13, "y", True)):
        yield shear(side, m, axis, centre, 77)
    for fraction, axis in ((0.45, "x"), (-0.2, "y")):
        yield translate(side, fraction, axis, 9)
    yield affine(side, 20.0, (0.1, -0.05), 0.9)
    yield elastic(side, 0.1)


def covers(side: int) -> Iterator[OpCase]:
    """Cases of ops that fill a rectangle."""
    yield cover("erasing", "Erasing", side, (0.1, 0.3, 0.5, 0.4), (9, 99, 200))
    yield cover("cutout", "Cutout", side, (0.25, 0.5, 0.5, 0.5), (125, 123, 114))


def crops(side: int) -> Iterator[OpCase]:
    """Cases of crops. Boxes are of whole pixels, except a central crop's and a padded crop's of a resized image."""
    yield crop("random resized crop", ops.RandomResizedCrop(), side, lambda h, w: (w // 5, h // 7, w - 9, h - h // 4))
    yield crop("uniform crop", ops.UniformCrop(), side, lambda h, w: (w // 3, h // 4, w // 3 + w // 2, h // 4 + h // 2))
    yield crop("corner crop", ops.CornerCrop(0.8, "bottom_right"), side)
    yield crop("resize", ops.Resize(), side)
    yield centre_crop(side, 224 / 256)
    yield centre_crop(side, 1.0)
    yield pad_crop(side, 4, (3, -2))


def rotate(side: int, degrees: float, fill: int, interpolation: str = "nearest") -> OpCase:
    """Rotation about the centre, counter-clockwise; fill: level (0..255) of what the image does not cover."""
    return warp(
        f"rotate {degrees:g}" + (f", {interpolation}" if interpolation != "nearest" else ""),
        ops.Rotate(degrees, interpolation=interpolation, fill=fill), side,
        lambda i, kind, colour: i.rotate(degrees, kind, fillcolor=colour),
        lambda t, kind, colour: tv.rotate(t, degrees, kind, fill=colour),
    )  # fmt: skip


def shear(side: int, m: float, axis: str, centre: bool, fill: int) -> OpCase:
    """Shear by the tangent m along "x" or "y", about the centre or the top left corner."""
    degrees, x, y = math.degrees(math.atan(m)), m * (axis == "x"), m * (axis == "y")
    angles, still = ([degrees, 0.0] if axis == "x" else [0.0, degrees]), (0.5 * side if centre else 0.0)
    return warp(
        f"shear {axis} {m}" + (" about the centre" if centre else ""),
        ops.Shear(m, axis, centre=centre, fill=fill), side,
        moved((1.0, x, -x * still, y, 1.0, -y * still)),
        lambda t, kind, colour: tv.affine(t, 0.0, [0, 0], 1.0, angles, kind, colour, [still, still]),
    )  # fmt: skip


def translate(side: int, fraction: float, axis: str, fill: int) -> OpCase:
    """Translation by a fraction of the side, cut to whole pixels, along "x" or "y"."""
    x, y = (int(fraction * side) * (axis == a) for a in "xy")
    return warp(
        f"translate {axis} {fraction}", ops.Translate(fraction, axis, whole=True, fill=fill), side,
        moved((1.0, 0.0, -x, 0.0, 1.0, -y)),
        lambda t, kind, colour: tv.affine(t, 0.0, [x, y], 1.0, [0.0, 0.0], kind, colour),
    )  # fmt: skip


def moved(linear: tuple[float, ...]) -> Callable:
    """Pillow's warp by the six numbers of a linear map from output to input positions, in pixels."""
    return lambda i, kind, colour: i.transform(i.size, Image.Transform.AFFINE, linear, kind, fillcolor=colour)


def warp(name: str, op: Op, side: int, pillow: Callable, tensor: Callable) -> OpCase:
    """The case of a warp; OpenCV gets the map that our op writes.

    pillow, tensor: functions of (image, interpolation, fill), fill as each library takes it.
    """
    bilinear, fill = op.resampling
    smooth, fill = bilinear > 0, int(fill)

    def by_opencv(image: np.ndarray) -> np.ndarray:
        index = np.reshape(made.steps[0][1][:6], (2, 3)).copy()
        index[:, 2] += 0.5 * index[:, 0] + 0.5 * index[:, 1] - 0.5  # OpenCV counts from the first pixel's centre
        flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST)
        return cv2.warpAffine(image, index, (side, side), flags=flags, borderValue=(fill,) * 3)

    differs = {OPENCV: "positions in fractions of a pixel"}
    if smooth:
        differs[PILLOW] = "does not blend with the fill at the border"
    elif side % 2:
        differs[TORCHVISION] = "takes the even pixel where a position lies between two pixels"
    made = case(
        name, op, side,
        lambda i: pillow(i, BILINEAR if smooth else NEAREST, (fill,) * 3),
        lambda t: tensor(t, TV_BILINEAR if smooth else TV_NEAREST, filled(t, fill)),
        by_opencv, jumps=not smooth, differs=differs,
    )  # fmt: skip
    return made


def affine(side: int, degrees: float, shift: tuple[float, float], scale: float) -> OpCase:
    """Rotation by `degrees` and scaling by `scale`, about the centre, then a shift, rounded to whole pixels.

    shift: (x, y), fractions of the side.
    """
    pixels = [round(s * side) for s in shift]
    c, s = math.cos(math.radians(degrees)) / scale, math.sin(math.radians(degrees)) / scale
    x, y = (2 * p / side for p in pixels)
    return case(
        f"affine {degrees:g} degrees, scale {scale}", "Affine", side,
        tensor=lambda t: tv.affine(t, degrees, pixels, scale, [0.0, 0.0], TV_BILINEAR, filled(t, 0)),
        written=((AFFINE, (c, s, -c * x - s * y, -s, c, s * x - c * y)),),
    )  # fmt: skip


def elastic(side: int, sigma: float) -> OpCase:
    """Elastic deformation; torchvision gets the displacements that our op derives from its key, resized by torch.

    sigma: standard deviation of the displacements, in half sides of the view.
    """

    @cache
    def field() -> torch.Tensor:
        grid = np.empty((1, 2, 4, 4), np.float32)
        elastic_.displacements(np.uint32(KEY[0]), np.uint32(KEY[1]), np.float32(sigma), grid[0])
        wide = torch.nn.functional.interpolate(torch.from_numpy(grid), (side, side), mode="bicubic", align_corners=True)
        return wide.permute(0, 2, 3, 1)

    return case(
        f"elastic {sigma}", "Elastic", side, tensor=lambda t: tv.elastic(t, field(), TV_BILINEAR, filled(t, 0)),
        written=((ELASTIC, (sigma,), ((1, KEY[0]), (2, KEY[1]))),),
    )  # fmt: skip


def cover(name: str, op: str, side: int, part: tuple[float, float, float, float], colour: tuple) -> OpCase:
    """A rectangle filled with a colour.  part: top, left, height, width as fractions of the side."""
    top, left, bottom, right = (
        math.floor(x * side + 0.5) for x in (part[0], part[1], part[0] + part[2], part[1] + part[3])
    )

    def by_pillow(image: Image.Image) -> Image.Image:
        image = image.copy()
        image.paste(colour, (left, top, right, bottom))
        return image

    def by_opencv(image: np.ndarray) -> np.ndarray:
        return cv2.rectangle(image.copy(), (left, top), (right - 1, bottom - 1), colour, cv2.FILLED)

    def by_tensor(t: torch.Tensor) -> torch.Tensor:
        value = torch.tensor(filled(t, colour), dtype=t.dtype).reshape(3, 1, 1)
        return tv.erase(t, top, left, bottom - top, right - left, value)

    return case(name, op, side, by_pillow, by_tensor, by_opencv, written=((ERASING, (*part, *map(float, colour))),))


def filled(t: torch.Tensor, fill: int | tuple) -> list[float] | None:
    """A colour in the units of a tensor's values, one number per channel; None for black.

    Black is not given as a colour because torchvision would then apply the weight of the border's blend twice.
    """
    if fill == 0:
        return None
    values = fill if isinstance(fill, tuple) else (fill,) * 3
    return [v / 255 if t.is_floating_point() else v for v in values]


def box_of(rule: Crop, side: int) -> Callable:
    """The box of a crop rule without random numbers, as a function of (height, width)."""

    def box(height: int, width: int) -> tuple[float, ...]:
        out, params = np.empty(4, np.float32), np.array([*rule.params(), 0.0])
        crops_.draw(rule.rule, params, np.zeros(6, np.uint32), height, width, side, out)
        return tuple(map(float, out))

    return box


def crop(name: str, rule: Crop, side: int, box: Callable | None = None) -> OpCase:
    """A crop, resized to side x side.  box: function of (height, width); else that of the rule."""
    box = box or box_of(rule, side)

    def whole(height: int, width: int) -> list[int]:
        return [int(x) for x in box(height, width)]

    def by_tensor(t: torch.Tensor) -> torch.Tensor:
        x0, y0, x1, y1 = whole(*t.shape[-2:])
        return tv.resized_crop(t, y0, x0, y1 - y0, x1 - x0, [side, side], antialias=True)

    def by_opencv(image: np.ndarray) -> np.ndarray:
        x0, y0, x1, y1 = whole(*image.shape[:2])
        return cv2.resize(image[y0:y1, x0:x1], (side, side), interpolation=cv2.INTER_LINEAR)

    return case(
        name, type(rule).__name__, side,
        lambda i: i.crop(whole(i.height, i.width)).resize((side, side), BILINEAR), by_tensor, by_opencv,
        differs={OPENCV: "not antialiased"}, crop=rule, box=box,
    )  # fmt: skip


def centre_crop(side: int, ratio: float) -> OpCase:
    """Shorter side resized to side / ratio, then the central square."""
    short = int(side / ratio + 0.5)

    def by_tensor(t: torch.Tensor) -> torch.Tensor:
        return tv.center_crop(tv.resize(t, [short], TV_BILINEAR, antialias=True), [side, side])

    def by_pillow(image: Image.Image) -> Image.Image:
        return tv.center_crop(tv.resize(image, [short], TV_BILINEAR), [side, side])

    rule = ops.CenterCrop(ratio)
    return case(
        f"centre crop {ratio:g}", "CenterCrop", side, by_pillow, by_tensor, crop=rule, box=box_of(rule, side)
    )  # fmt: skip


def pad_crop(side: int, padding: int, shift: tuple[int, int]) -> OpCase:
    """The whole image on `padding` black pixels, shifted by `shift` pixels of the view.

    The peers' pixels equal ours for images of the view's size only.
    """
    x, y = shift

    def box(height: int, width: int) -> tuple[float, ...]:
        return x * width / side, y * height / side, (x + side) * width / side, (y + side) * height / side

    def by_pillow(image: Image.Image) -> Image.Image:
        image = ImageOps.expand(image.resize((side, side), BILINEAR), padding)
        return image.crop((x + padding, y + padding, x + padding + side, y + padding + side))

    def by_tensor(t: torch.Tensor) -> torch.Tensor:
        t = tv.pad(tv.resize(t, [side, side], TV_BILINEAR, antialias=True), [padding])
        return tv.crop(t, y + padding, x + padding, side, side)

    def by_opencv(image: np.ndarray) -> np.ndarray:
        image = cv2.copyMakeBorder(cv2.resize(image, (side, side)), *[padding] * 4, cv2.BORDER_CONSTANT)
        return image[y + padding : y + padding + side, x + padding : x + padding + side]

    return case("pad crop", "PadCrop", side, by_pillow, by_tensor, by_opencv, crop=ops.PadCrop(padding), box=box)
