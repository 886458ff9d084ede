"""Bad input: arguments out of range are refused when an op is built; the smallest and the longest images are drawn."""

import math
import warnings

import numpy as np
import pytest

from data_loading import Strategy, ViewSet
from data_loading.config.described import build
from data_loading.errors import ConfigError, UnknownName, ViewError
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
    Normalize,
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
    program,
)
from data_loading.render.numba_renderer import Renderer
from data_loading.views.sampling import Drawer

NAN = math.nan
REFUSED = [
    (lambda: HorizontalFlip(p=1.5), "HorizontalFlip: p is 1.5; it must be a number from 0 to 1"),
    (lambda: HorizontalFlip(p=-0.1), "p is -0.1"),
    (lambda: HorizontalFlip(p=NAN), "p is nan"),
    (lambda: HorizontalFlip(p="0.5"), "p is '0.5'"),
    (lambda: HorizontalFlip(p=None), "p is None"),
    (lambda: HorizontalFlip(p=True), "p is True"),
    (lambda: HorizontalFlip(fixed="yes"), "fixed is 'yes'; it must be true or false"),
    (lambda: ColorJitter(brightness=-0.1), "brightness is -0.1"),
    (lambda: ColorJitter(hue=0.7), "hue is 0.7; it must be a number from 0 to 0.5"),
    (lambda: ColorJitter(saturation=NAN), "saturation is nan"),
    (lambda: Brightness(-1.0), "factor is -1.0; it must be a number, or a pair of numbers, from 0 to 100"),
    (lambda: Contrast((0.1, NAN)), "factor"),
    (lambda: Saturation((0.1, 0.2, 0.3)), "factor"),
    (lambda: Saturation("1.0"), "factor is '1.0'"),
    (lambda: Sharpness(1.0, bins=1), "bins is 1; it must be 0"),
    (lambda: Sharpness(1.0, bins=2.5), "bins is 2.5"),
    (lambda: Sharpness(1.0, mirror=2), "mirror is 2"),
    (lambda: Hue(0.6), "turn is 0.6"),
    (lambda: Solarize(300), "threshold is 300"),
    (lambda: Posterize(9), "bits is 9"),
    (lambda: Posterize(-1), "bits is -1"),
    (lambda: Rotate(361), "degrees is 361"),
    (lambda: Rotate(fill=256), "fill is 256"),
    (lambda: Rotate(interpolation="cubic"), "interpolation is 'cubic'; choose one of nearest, bilinear"),
    (lambda: Shear(11.0), "amount is 11.0"),
    (lambda: Shear(axis="z"), "axis is 'z'; choose one of x, y"),
    (lambda: Shear(centre="yes"), "centre is 'yes'"),
    (lambda: Translate(1.5), "fraction is 1.5"),
    (lambda: Translate(whole=1), "whole is 1"),
    (lambda: Affine(degrees=200), "degrees is 200"),
    (lambda: Affine(scale=(0.0, 1.0)), "scale"),
    (lambda: Affine(scale=1.0), "scale is 1.0; it must be two numbers"),
    (lambda: Cutout(1.5), "side is 1.5"),
    (lambda: Cutout(fill=(1, 2)), r"fill is \(1, 2\); it is one value for all channels, or three"),
    (lambda: Cutout(fill="red"), "fill is 'red'"),
    (lambda: Cutout(inside=0), "inside is 0"),
    (lambda: Erasing(scale=(-0.1, 0.2)), "scale"),
    (lambda: Erasing(ratio=(0.0, 1.0)), "ratio"),
    (lambda: Erasing(fill=(0, 0, 300)), "fill is 300"),
    (lambda: GaussianBlur((2.0, 1.0)), r"sigma is \(2.0, 1.0\); it must be two numbers, 0.01 <= first <= second <= 20"),
    (lambda: GaussianBlur(1.0), "sigma is 1.0"),
    (lambda: GaussianBlur(kernel_size=4), "kernel_size is 4; it must be odd"),
    (lambda: GaussianBlur(kernel_size=0), "kernel_size is 0"),
    (lambda: GaussianBlur(kernel_size=123), "kernel_size is 123"),
    (lambda: GaussianBlur(kernel_size=3.5), "kernel_size is 3.5"),
    (lambda: GaussianNoise((-1.0, 2.0)), "sigma"),
    (lambda: Gamma((0.0, 1.0)), "gamma"),
    (lambda: Gamma(gain=(1.0, NAN)), "gain"),
    (lambda: Elastic(-1.0), "sigma is -1.0"),
    (lambda: Thickness(1.5), "amount is 1.5"),
    (lambda: Normalize(std=(0.2, 0.0, 0.2)), "std above 0"),
    (lambda: Normalize(std=(0.2, NAN, 0.2)), "std above 0"),
    (lambda: Normalize(mean=(0.5, 0.5)), "three numbers each"),
    (lambda: Normalize(mean=0.5), "three numbers each"),
    (lambda: Normalize(mean=("a", "b", "c")), "three numbers each"),
    (lambda: Choose([]), "policies is empty"),
    (lambda: Choose([[]], times=0), "times is 0; it must be an integer from 1 to 16"),
    (lambda: Choose([[]], times="2"), "times is '2'"),
    (lambda: Choose([[Choose([[]])]]), "cannot hold another Choose"),
    (lambda: Choose([[Invert(seed=1)]]), "has a stream of its own"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED)
def test_an_argument_out_of_range_is_refused_by_its_name_when_the_op_is_built(make, sentence):
    with pytest.raises(ViewError, match=sentence):
        make()


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, "one", NAN])
def test_a_seed_that_is_no_number_of_32_bits_is_refused(seed):
    with pytest.raises(ConfigError, match="seed of Invert"):
        Invert(seed=seed)


def test_numbers_of_numpy_and_whole_numbers_are_numbers():
    assert Solarize(np.float32(100.0)).params()[0] == 100.0
    assert Rotate((np.int64(-3), 4)).params()[:2] == [-3.0, 4.0]
    assert HorizontalFlip(p=1).p == 1.0


@pytest.mark.parametrize(("wrong", "near"), [("Solarise", "Solarize"), ("GaussianBlurr", "GaussianBlur")])
def test_an_unknown_op_is_refused_with_the_nearest_name(wrong, near):
    with pytest.raises(UnknownName, match=f"no op named '{wrong}'. Did you mean '{near}'?"):
        build(wrong, OPS, Op)


def test_an_unknown_argument_is_refused_with_the_nearest_name():
    with pytest.raises(ViewError, match="Solarize has no argument 'treshold'. Did you mean 'threshold'?"):
        build({"class_path": "Solarize", "init_args": {"treshold": 3}}, OPS, Op)


OPS_AT_THEIR_ENDS = [
    Affine(degrees=40, translate=0.2, scale=(0.5, 2), shear=0.3, aspect=0.2), Affine(scale=(0.05, 20.0)),
    AutoContrast(p=1), Brightness((0, 100), p=1), Choose([[Invert(p=1)], []]), ColorJitter(0.4, 0.4, 0.4, 0.5, p=1),
    Contrast((0, 3), p=1), Cutout((0, 1), p=1), Cutout((0.1, 1), inside=True, p=1), Elastic(0.3), Equalize(p=1),
    Erasing((0, 1), p=1), Gamma((0.05, 20), p=1), GaussianBlur((0.1, 20), p=1), GaussianBlur(kernel_size=23, p=1),
    GaussianBlur(kernel_size=1, p=1), GaussianNoise((0, 255)), Grayscale(1), HorizontalFlip(1), Hue((-0.5, 0.5), p=1),
    Invert(p=1), Posterize((0, 8), p=1), Rotate((-360, 360), p=1),
    Rotate((-360, 360), p=1, interpolation="bilinear", fill=100), Round(), Saturation((0, 3), p=1),
    Sharpness((0, 3), p=1), Shear((-10, 10), p=1), Shear((-1, 1), axis="y", centre=True, p=1), Solarize((0, 256), p=1),
    Thickness(1, p=1), Translate((-1, 1), p=1),
    Translate((-1, 1), whole=True, axis="y", p=1, interpolation="bilinear"), VerticalFlip(1),
    Shift(4), Shift(4096, fill=(1, 2, 3)),
]  # fmt: skip
CROPS_AT_THEIR_ENDS = [
    RandomResizedCrop(), RandomResizedCrop((1e-4, 1e-3), (0.01, 100.0)), CenterCrop(), CenterCrop(0.01),
    CenterCrop(1.0), PadCrop(4), PadCrop(1024), UniformCrop(), UniformCrop((0.01, 0.01)), CornerCrop(),
    CornerCrop(0.01, "bottom_right"), Resize(), Pad(),
]  # fmt: skip
SOURCES = [(1, 1), (2, 2), (1, 5000), (5000, 1), (17, 17)]  # height, width
SIDES = [1, 2, 3, 17]
LEVELS = 0.15  # of the resize, where up to a hundred pixels of an axis become one
LONG = 0.4  # where thousands do


def draw(view_set, image, n=4, by_reference=False):
    """(n, 3, S, S) float32 and the plan."""
    height, width, _ = image.shape
    sides = np.full(n, height), np.full(n, width)
    plan = Drawer(view_set, 0)(0, np.arange(n), *sides)
    size = view_set.views[0].size
    out = np.full((1, n, 3, size, size), np.nan, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASSRL_REFERENCE", str(int(by_reference)))
        renderer = Renderer(view_set, max(height, width), None, "float32")
    renderer(image.reshape(-1), np.zeros(n, np.int64), *sides, plan, 0, [out])
    return out[0], plan


def assert_in_range(out):
    assert np.isfinite(out).all()
    assert out.min() >= -0.01 and out.max() <= 255.01  # weights of a blur sum to 1 within 1e-5


def source(shape):
    return np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", SOURCES)
@pytest.mark.parametrize("crop", CROPS_AT_THEIR_ENDS, ids=lambda crop: type(crop).__name__)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_every_crop_of_the_smallest_and_the_longest_images_is_its_reference(shape, crop, interpolation):
    for size in SIDES:
        view_set = ViewSet([Strategy("one", [[]], crop=crop)], crops=1, size=size, interpolation=interpolation)
        ours, _ = draw(view_set, source(shape))
        exact, _ = draw(view_set, source(shape), by_reference=True)
        assert_in_range(ours)
        np.testing.assert_allclose(ours, exact, atol=LONG if max(shape) == 5000 else LEVELS)


@pytest.mark.parametrize("shape", SOURCES)
@pytest.mark.parametrize("op", OPS_AT_THEIR_ENDS, ids=lambda op: type(op).__name__)
def test_every_op_on_the_smallest_and_the_longest_images_is_its_reference(shape, op):
    """Round goes first, in the references too, so that what the crop's resize loses is gone."""
    for size in SIDES:
        crop = Resize()
        plain, _ = draw(ViewSet([Strategy("one", [[Round()]], crop=crop)], crops=1, size=size), source(shape))
        ours, plan = draw(ViewSet([Strategy("one", [[Round(), op]], crop=crop)], crops=1, size=size), source(shape))
        assert_in_range(ours)
        for b, picture in enumerate(plain):
            exact = program.reference(plan.op[0, b, 1:], plan.arg[0, b, 1:], picture)
            apart = np.abs(ours[b] - exact).max(axis=0)
            assert (apart <= 1).mean() >= (0.999 if size == 17 else 1), (size, plan.op[0, b], plan.numbers[0, b])


@pytest.mark.parametrize("op", OPS_AT_THEIR_ENDS, ids=lambda op: type(op).__name__)
def test_every_op_runs_by_its_reference(op):
    """MASSRL_REFERENCE=1 on an image of the view's own size, which is copied: both start from the same levels."""
    view_set = ViewSet([Strategy("one", [[op]], crop=Resize())], crops=1, size=17)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (ours, _), (exact, _) = draw(view_set, source((17, 17))), draw(view_set, source((17, 17)), by_reference=True)
    assert_in_range(exact)
    assert (np.abs(ours - exact) <= 1).mean() >= 0.999
