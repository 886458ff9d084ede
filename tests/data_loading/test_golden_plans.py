"""Plans are pinned: the numbers that every op and every crop samples under one seed, as a table with four digits.

A version that samples other numbers would render other views from the seeds and states of past runs. Four digits are
equal on every machine, although the last bit of a sine or a logarithm may differ.
"""

import numpy as np
import pytest

from data_loading import Strategy, ViewSet
from data_loading.ops import (
    OPS,
    Affine,
    AutoContrast,
    Brightness,
    CenterCrop,
    Choose,
    ColorJitter,
    Contrast,
    CornerCrop,
    Crop,
    Cutout,
    Elastic,
    Equalize,
    Erasing,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    HorizontalFlip,
    Hue,
    Invert,
    Op,
    Pad,
    PadCrop,
    Posterize,
    RandomResizedCrop,
    Resize,
    Rotate,
    Round,
    Saturation,
    Sharpness,
    Shear,
    Shift,
    Solarize,
    Thickness,
    Translate,
    UniformCrop,
    VerticalFlip,
)
from data_loading.views.sampling import Drawer

P, SEED = {"p": 0.7}, 1


def tables(view_set):
    """The plans of rows 1, 2 and 3 in epoch 4, of images of 60 x 80 pixels (height x width): a text for each row."""
    plan = Drawer(view_set, SEED)(4, np.array([1, 2, 3]), np.full(3, 60), np.full(3, 80))
    return [plan.table(view_set, b) for b in range(3)]


STEPS = [
    (
        Affine(30, 0.1, (0.8, 1.2), 0.2, 0.1, **P),
        [
            "affine 0.9305 -0.07849 -0.1391 0.06202 1.136 -0.05122",
            "affine 0.9302 -0.1283 0.1083 0.2602 0.8466 -0.03244",
            "affine 0.8188 -0.597 -0.1022 0.4217 0.8518 -0.1017",
        ],
    ),
    (AutoContrast(**P), ["autocontrast", "autocontrast", "autocontrast"]),
    (Brightness(**P), ["brightness 1.558", "no steps", "brightness 0.2175"]),
    (
        Choose([[Invert(p=0.5), Solarize(p=1.0)], [Rotate(p=1.0)]], times=2, **P),
        [
            "solarize 128, warp 0.9356 -0.3532 10.02 0.3532 0.9356 -6.93 0 0",
            "no steps",
            "solarize 128, invert, solarize 128",
        ],
    ),
    (ColorJitter(**P), ["no steps", "hue 0.00266, brightness 0.3486, saturation 0.9302, contrast 1.188", "no steps"]),
    (Contrast((0.1, 0.9), bins=10, mirror=True, **P), ["contrast 1.1", "contrast 1.367", "contrast 0.8111"]),
    (
        Cutout((0.1, 0.5), **P),
        [
            "erasing 0.3542 0 0.3542 0.3542 0 0 0",
            "erasing 0.8958 0.5208 0.1042 0.125 0 0 0",
            "erasing 0 0 0.3958 0.3958 0 0 0",
        ],
    ),
    (
        Cutout(0.3, inside=True, fill=(0.1, 0.2, 0.3), **P),
        [
            "erasing 0.375 0.1042 0.2917 0.2917 0.1 0.2 0.3",
            "erasing 0.6875 0.4167 0.2917 0.2917 0.1 0.2 0.3",
            "erasing 0.1042 0.04167 0.2917 0.2917 0.1 0.2 0.3",
        ],
    ),
    (Elastic(**P), ["elastic 0.07 key cddd6044-a9b6c15e", "elastic 0.07 key 74e02fa8-7825d1c8", "no steps"]),
    (Equalize(**P), ["equalize", "equalize", "equalize"]),
    (
        Erasing(**P),
        ["erasing 0.3645 0.09699 0.2386 0.241 0 0 0", "erasing 0.09418 0.2739 0.2527 0.6101 0 0 0", "no steps"],
    ),
    (Gamma(gain=(0.9, 1.1), **P), ["gamma 0.7975 1.053", "gamma 0.8065 1.053", "gamma 1.1 0.9073"]),
    (GaussianBlur(**P), ["blur 1.26 4", "no steps", "blur 1.373 5"]),
    (GaussianBlur(kernel_size=5, **P), ["blur 1.26 2", "no steps", "blur 1.373 2"]),
    (GaussianNoise(**P), ["no steps", "noise 3.728 key e7411750-c3e5dc43", "no steps"]),
    (Grayscale(**P), ["grayscale", "grayscale", "grayscale"]),
    (HorizontalFlip(**P), ["flip", "flip", "flip"]),
    (Hue(**P), ["hue -0.02959", "hue -0.09221", "hue 0.0786"]),
    (Invert(**P), ["no steps", "invert", "no steps"]),
    (Posterize((1, 8), bins=8, **P), ["posterize 3", "posterize 4", "posterize 8"]),
    (
        Rotate(mirror=True, interpolation="bilinear", **P),
        [
            "warp 0.9991 0.04258 -1 -0.04258 0.9991 1.044 1 0",
            "warp 0.9611 -0.2763 7.567 0.2763 0.9611 -5.698 1 0",
            "warp 0.9946 -0.1034 2.609 0.1034 0.9946 -2.352 1 0",
        ],
    ),
    (Round(**P), ["round", "round", "round"]),
    (Saturation(**P), ["saturation 0.5834", "saturation 0.7101", "saturation 0.7811"]),
    (Sharpness(**P), ["sharpness 0.3028", "no steps", "sharpness 0.1245"]),
    (Shear(**P), ["no steps", "warp 1 0.2046 0 0 1 0 0 0", "no steps"]),
    (Shear(axis="y", centre=True, **P), ["no steps", "warp 1 0 0 0.2046 1 -4.91 0 0", "no steps"]),
    (
        Shift(**P),
        [
            "warp 1 0 -3 0 1 -0 0 0, erasing 0 0 1 0.0625 0 0 0",
            "warp 1 0 -0 0 1 3 0 0, erasing 0.9375 0 0.0625 1 0 0 0",
            "warp 1 0 -2 0 1 4 0 0, erasing 0.9167 0 0.08333 1 0 0 0, erasing 0 0 1 0.04167 0 0 0",
        ],
    ),
    (Solarize((0, 256), **P), ["solarize 238.8", "solarize 149.4", "solarize 83.05"]),
    (Thickness(**P), ["thickness -0.3563", "thickness 0.1965", "thickness -0.1403"]),
    (Translate(**P), ["no steps", "warp 1 0 9.925 0 1 0 0 0", "warp 1 0 -0.3718 0 1 0 0 0"]),
    (
        Translate(pixels=(0, 32), axis="y", mirror=True, whole=True, **P),
        ["no steps", "warp 1 0 0 0 1 8 0 0", "warp 1 0 0 0 1 16 0 0"],
    ),
    (VerticalFlip(**P), ["vertical_flip", "vertical_flip", "vertical_flip"]),
]


@pytest.mark.parametrize(("op", "expected"), STEPS, ids=lambda value: repr(value) if isinstance(value, Op) else "")
def test_the_numbers_of_an_op_are_pinned(op, expected):
    view_set = ViewSet([Strategy("one", [[op]], crop=Resize())], crops=1, size=48)
    assert [text.partition(")  ")[2] for text in tables(view_set)] == expected


CROPS = [
    (
        CenterCrop(),
        [
            "(13.1507, 4.36364)-(65.7534, 56.7273)",
            "(13.1507, 4.36364)-(65.7534, 56.7273)",
            "(13.1507, 4.36364)-(65.7534, 56.7273)",
        ],
    ),
    (CornerCrop(0.8, "bottom_right"), ["(32, 12)-(80, 60)", "(32, 12)-(80, 60)", "(32, 12)-(80, 60)"]),
    (Pad(), ["(0, 0)-(48, 48)", "(0, 0)-(48, 48)", "(0, 0)-(48, 48)"]),
    (PadCrop(), ["(-3.33333, -5)-(76.6667, 55)", "(-5, -1.25)-(75, 58.75)", "(6.66667, -1.25)-(86.6667, 58.75)"]),
    (RandomResizedCrop(), ["(15, 1)-(39, 28)", "(3, 3)-(44, 53)", "(5, 3)-(60, 44)"]),
    (Resize(), ["(0, 0)-(80, 60)", "(0, 0)-(80, 60)", "(0, 0)-(80, 60)"]),
    (UniformCrop(), ["(1, 9)-(43, 41)", "(7, 2)-(62, 43)", "(3, 17)-(60, 60)"]),
]


@pytest.mark.parametrize(("crop", "expected"), CROPS, ids=lambda value: repr(value) if isinstance(value, Crop) else "")
def test_the_boxes_of_a_crop_are_pinned(crop, expected):
    view_set = ViewSet([Strategy("one", [[]], crop=crop)], crops=1, size=48)
    assert [text.removeprefix("one.0").removesuffix("no steps").strip() for text in tables(view_set)] == expected


def strategy(name, **arguments):
    return Strategy(name, [[HorizontalFlip()], [HorizontalFlip(), Posterize((1, 8), bins=8, p=0.5)]], **arguments)


TWO = [strategy("a"), strategy("b", local_crop=UniformCrop())]
VIEW_SETS = [
    (
        ViewSet(TWO, 2, 48, local=1, local_size=24),
        [
            "a.0           (44, 2)-(80, 35)  no steps",
            "a.1           (30, 28)-(58, 59)  flip, posterize 3",
            "b.0           (0, 1)-(75, 60)  flip",
            "b.1           (7, 1)-(65, 52)  no steps",
            "a.local0      (4, 17)-(31, 38)  no steps",
            "b.local0      (6, 4)-(72, 53)  flip",
        ],
    ),
    (
        ViewSet(TWO, 2, 48, shared_crops=True, disjoint=True, crop_scale=(0.1, 0.4)),
        [
            "a.0           (48, 12)-(72, 33)  no steps",
            "a.1           (34, 33)-(61, 56)  flip, posterize 3",
            "b.0           (48, 12)-(72, 33)  flip",
            "b.1           (34, 33)-(61, 56)  no steps",
        ],
    ),
    (
        ViewSet(TWO, 2, 48, assign="drawn"),
        ["drawn.0 a     (7, 7)-(56, 60)  no steps", "drawn.1 a     (11, 0)-(80, 57)  flip, posterize 6"],
    ),
]


@pytest.mark.parametrize(("view_set", "expected"), VIEW_SETS, ids=str)
def test_the_plans_of_view_sets_are_pinned(view_set, expected):
    assert tables(view_set)[0].splitlines() == expected


def test_every_op_and_crop_is_pinned():
    kinds = {kind for _, kind in OPS.items() if issubclass(kind, Op | Crop)}
    assert {type(thing) for thing, _ in STEPS + CROPS} == {k for k in kinds if k.__module__.startswith("data_loading.")}
