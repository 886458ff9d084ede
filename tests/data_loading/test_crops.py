"""Crops: which boxes they draw, beside torchvision's, and that every box lies where it may; pixels: test_resize.py."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image
from scipy.stats import ks_2samp, kstest, uniform
from torchvision.transforms import RandomResizedCrop as TheirCrop

from data_loading import Strategy, ViewSet
from data_loading.bench.op_cases import StepRenderer
from data_loading.errors import ViewError
from data_loading.ops import CenterCrop, CornerCrop, HorizontalFlip, PadCrop, RandomResizedCrop, Resize, UniformCrop
from data_loading.ops.crop import CORNERS
from data_loading.views.sampling import Drawer

N = 4000
SHAPES = [(375, 500), (500, 375), (64, 64), (1, 1), (2, 2), (3, 1), (1, 5000), (5000, 1), (17, 900)]  # height, width
CROPS = [
    RandomResizedCrop(), RandomResizedCrop((1e-4, 1e-3)), RandomResizedCrop((1.0, 1.0), (0.01, 100.0)),
    UniformCrop(), UniformCrop((0.01, 0.01)), CornerCrop(0.5, "bottom_right"), CornerCrop(0.01, "top_right"), Resize(),
]  # fmt: skip


def boxes(crop, shape, n=N, size=32):
    """(n, 4): x0, y0, x1, y1 in source pixels."""
    height, width = shape
    view_set = ViewSet([Strategy("one", [[]], crop=crop)], crops=1, size=size)
    return Drawer(view_set, 0)(0, np.arange(n), np.full(n, height), np.full(n, width)).box[0].astype(float)


def assert_uniform(values, low, high):
    """Kolmogorov and Smirnov's distance exceeds 2 / sqrt(n) once in 1500 times."""
    assert kstest(values, uniform(low, high - low).cdf).statistic < 2 / math.sqrt(len(values))


def sides(box):
    return (box[:, 3] - box[:, 1]), (box[:, 2] - box[:, 0])  # height, width


@pytest.mark.parametrize("crop", CROPS, ids=lambda crop: type(crop).__name__)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_box_holds_whole_pixels_of_the_image_and_at_least_one(crop, shape):
    box = boxes(crop, shape, n=200)
    height, width = sides(box)
    assert (box == np.rint(box)).all()
    assert height.min() >= 1 and width.min() >= 1 and box.min() >= 0
    assert box[:, 2].max() <= shape[1] and box[:, 3].max() <= shape[0]


@pytest.mark.parametrize("shape", [(375, 500), (60, 45), (17, 900), (1, 5000)])
@pytest.mark.parametrize(("scale", "ratio"), [((0.08, 1.0), (3 / 4, 4 / 3)), ((0.2, 0.3), (0.5, 2.0))])
def test_random_resized_crops_are_distributed_as_torchvisions(shape, scale, ratio):
    box = boxes(RandomResizedCrop(scale, ratio), shape)
    torch.manual_seed(0)
    image = torch.empty(3, *shape)
    theirs = np.array([TheirCrop.get_params(image, scale, ratio) for _ in range(N)], float)  # top, left, height, width
    ours = np.stack([box[:, 1], box[:, 0], *sides(box)], axis=1)
    for mine, other in zip(ours.T, theirs.T, strict=True):
        assert ks_2samp(mine, other).statistic < 2 * math.sqrt(2 / N)


def test_area_and_ratio_of_a_random_resized_crop_are_uniform_and_log_uniform_where_all_fit():
    height, width = sides(boxes(RandomResizedCrop((0.1, 0.3), (0.5, 2.0)), (1000, 1000)))
    assert_uniform(height * width / 1e6, 0.1, 0.3)
    assert_uniform(np.log(width / height), math.log(0.5), math.log(2.0))


def test_a_uniform_crop_multiplies_both_sides_by_one_uniform_ratio_and_lies_anywhere():
    box = boxes(UniformCrop((0.5, 1.0)), (600, 1000))
    height, width = sides(box)
    np.testing.assert_allclose(height / 600, width / 1000, atol=1 / 600)  # each rounded to whole pixels
    assert_uniform(width / 1000, 0.5, 1.0)
    room = 1000 - width
    assert_uniform(((box[:, 0] + np.random.default_rng(0).uniform(size=N)) / (room + 1)), 0, 1)  # 0 to room, all alike


@pytest.mark.parametrize("corner", CORNERS)
def test_a_corner_crop_is_a_square_of_the_shorter_side_in_its_corner(corner):
    x0, y0, x1, y1 = boxes(CornerCrop(0.5, corner), (60, 100), n=1)[0]
    assert (x1 - x0, y1 - y0) == (30, 30)
    assert y0 == 0 if "top" in corner else y1 == 60
    assert x0 == 0 if "left" in corner else x1 == 100


def test_a_padded_crop_shifts_by_every_number_of_pixels_equally_often():
    box = boxes(PadCrop(2), (32, 32))
    shifts, counts = np.unique(box[:, :2], axis=0, return_counts=True)
    assert shifts.min() == -2 and shifts.max() == 2 and len(shifts) == 25
    assert np.abs(counts - N / 25).max() < 5 * math.sqrt(N / 25)
    np.testing.assert_array_equal(box[:, 2:] - box[:, :2], np.full((N, 2), 32))


@pytest.mark.parametrize("shape", [(375, 500), (500, 375), (64, 64), (31, 57), (57, 31), (300, 900)])
@pytest.mark.parametrize(("size", "ratio"), [(224, 224 / 256), (32, 1.0), (37, 0.9), (64, 0.5)])
def test_a_central_crop_is_torchvisions_resize_and_centre_crop(shape, size, ratio):
    # Smooth values: torchvision rounds to whole pixels of the resized image, of which both sides have their own scale.
    image = np.random.default_rng(0).integers(64, 192, (*shape, 3), dtype=np.uint8)
    box = tuple(boxes(CenterCrop(ratio), shape, n=1, size=size)[0])
    ours = StepRenderer((), size, "float32", crop=CenterCrop(ratio), box=lambda height, width: box)(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1).float()
    short = int(size / ratio + 0.5)
    theirs = tv.center_crop(tv.resize(tensor, [short], antialias=True), [size, size]).permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() <= 1


def test_an_image_smaller_than_the_crop_is_enlarged():
    """torchvision's RandomCrop and CenterCrop refuse or pad there; a box is a part of the image, whatever its size."""
    image = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    for crop in (
        RandomResizedCrop((1.0, 1.0), (1.0, 1.0)),
        CenterCrop(1.0),
        Resize(),
        CornerCrop(),
        UniformCrop((1, 1)),
    ):
        box = tuple(boxes(crop, (5, 5), n=1)[0])
        assert box == (0, 0, 5, 5)
        out = StepRenderer((), 32, "uint8", crop=crop, box=lambda height, width, box=box: box)(image)
        theirs = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
        assert np.abs(out.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("named", [{"share": "box"}, {"seed": 7}, {"fixed": True}, {"name": "mine"}])
def test_a_crop_has_a_stream_as_an_op_has(named):
    def draw(seed, epoch):
        one = Strategy("one", [[HorizontalFlip()]], crop=RandomResizedCrop(**named))
        sides = np.full(16, 300)
        return Drawer(ViewSet([one], crops=2, size=32), seed)(epoch, np.arange(16), sides, sides).box

    first, other_epoch, other_seed = draw(0, 0), draw(0, 1), draw(1, 0)
    assert (first == other_epoch).all() == ("fixed" in named)
    assert (first == other_seed).all() == ("seed" in named)
    assert (first[0] == first[1]).all() == ("share" in named)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: RandomResizedCrop(scale=(0.0, 1.0)), r"RandomResizedCrop: scale is \(0.0, 1.0\)"),
        (lambda: RandomResizedCrop(scale=(0.5, 1.5)), "scale"),
        (lambda: RandomResizedCrop(scale=(0.5, 0.2)), "first <= second"),
        (lambda: RandomResizedCrop(scale=0.5), "scale is 0.5; it must be two numbers"),
        (lambda: RandomResizedCrop(scale=(0.5, math.nan)), "scale"),
        (lambda: RandomResizedCrop(ratio=(0, 1)), "ratio"),
        (lambda: RandomResizedCrop(ratio="1:1"), "ratio is '1:1'"),
        (lambda: CenterCrop(1.5), "ratio is 1.5; it must be a number from 0.01 to 1"),
        (lambda: CenterCrop(math.nan), "ratio is nan"),
        (lambda: PadCrop(-1), "padding is -1; it must be an integer"),
        (lambda: PadCrop(2.5), "padding is 2.5"),
        (lambda: UniformCrop((0.0, 1.0)), "ratio"),
        (lambda: CornerCrop(corner="middle"), "corner is 'middle'; choose one of top_left"),
        (lambda: CornerCrop(2.0), "ratio is 2.0"),
        (lambda: Resize(fixed="no"), "fixed is 'no'"),
        (lambda: ViewSet(["whole"], size=0), "size is 0"),
        (lambda: ViewSet(["whole"], crops=0), "crops is 0"),
    ],
)
def test_a_crop_that_cannot_be_is_refused_when_it_is_built(make, sentence):
    with pytest.raises(ViewError, match=sentence):
        make()
