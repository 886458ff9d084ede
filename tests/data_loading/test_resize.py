"""Crop and resize is Pillow's antialiased bilinear or bicubic, within one level of its rounding."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

from data_loading import Strategy, ViewSet
from data_loading.ops import resize
from data_loading.ops.crop import Crop
from data_loading.ops.flip import FLIP
from data_loading.ops.step import ARGS
from data_loading.render.numba_renderer import Renderer
from data_loading.views import view_sets
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer

F32 = np.float32
LEVELS = 0.15  # of 255, that weights of 16 bits are off; less than 0.05 where few pixels make one


class Box(Crop):
    """The whole rule that the tests need: what to do at the edge."""

    rule = 0


def crop_resize(picture, box, size, edge="crop", interpolation="bilinear", dtype="float32", steps=(0,)):
    """picture uint8 (H, W, 3) -> (size, size, 3) float32, through the renderer."""
    height, width, _ = picture.shape
    rule = Box()
    rule.edge = edge
    plain = ViewSet([Strategy("plain", [[]], crop=rule)], crops=1, size=size, interpolation=interpolation)
    plan = Plan(
        np.array(box, F32).reshape(1, 1, 4),
        np.array(steps, np.uint8).reshape(1, 1, -1),
        np.zeros((1, 1, len(steps), ARGS), np.uint32),
        np.zeros((1, 1), np.uint8),
    )
    out = np.empty((1, 1, 3, size, size), dtype)
    renderer = Renderer(plain, max(height, width), None, dtype)
    renderer(picture.reshape(-1), np.zeros(1, np.int64), np.array([height]), np.array([width]), plan, 0, [out])
    return out[0, 0].transpose(1, 2, 0)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 60, 45), (7, 3, 29, 40), (10, 10, 11, 11), (0, 0, 60, 1), (5, 5, 21, 21)])
@pytest.mark.parametrize("size", [1, 8, 16, 37, 96])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_crop_then_resize_equals_pillow_within_one_level(box, size, interpolation):
    source = picture(45, 60) // 2 + 64  # no overshoot over 0..255, which Pillow would cut off between its passes
    kind = Image.Resampling[interpolation.upper()]
    theirs = np.asarray(Image.fromarray(source).crop(box).resize((size, size), kind), F32)
    # Pillow rounds after each of its two passes, half a level each (a little more where cubic weights are negative)
    tolerance = 1.0 if interpolation == "bilinear" else 1.3
    ours = crop_resize(source, box, size, interpolation=interpolation)
    assert np.abs(ours - theirs).max() <= tolerance + LEVELS
    np.testing.assert_allclose(
        ours.transpose(2, 0, 1),
        resize.reference(source, box, (size, size), cubic=interpolation == "bicubic"),
        atol=LEVELS,
    )


@pytest.mark.parametrize("box", [(3.25, 1.5, 40.75, 30.0), (10.1, 10.2, 20.3, 40.4)])
def test_a_box_of_fractions_reads_outside_itself_as_pillows_box_argument(box):
    source = picture(45, 60)
    theirs = Image.fromarray(source).resize((16, 16), Image.Resampling.BILINEAR, box=box)
    assert np.abs(crop_resize(source, box, 16, "image") - np.asarray(theirs, F32)).max() <= 1.0 + LEVELS


@pytest.mark.parametrize("offset", [(-4, -4), (4, 4), (-3, 2), (0, 0), (-40, 0), (31, 31)])
def test_a_padded_crop_is_black_outside_the_image(offset):
    source, (x, y) = picture(32, 32), offset
    padded = np.pad(source, ((50, 50), (50, 50), (0, 0)))[50 + y : 82 + y, 50 + x : 82 + x]
    np.testing.assert_array_equal(crop_resize(source, (x, y, x + 32, y + 32), 32, "pad"), padded.astype(F32))


def test_crop_then_resize_equals_torchvision_on_floats():
    source = picture(150, 200)
    tensor = torch.from_numpy(source).permute(2, 0, 1).float()
    theirs = tv.resized_crop(tensor, 20, 31, 101, 87, [64, 64], antialias=True)
    ours = crop_resize(source, (31, 20, 31 + 87, 20 + 101), 64)
    np.testing.assert_allclose(ours, theirs.permute(1, 2, 0).numpy(), atol=LEVELS)


def test_the_whole_image_at_its_own_size_is_copied_exactly():
    source = picture(24, 24)
    np.testing.assert_array_equal(crop_resize(source, (0, 0, 24, 24), 24), source.astype(F32))


@pytest.mark.parametrize(
    ("height", "width", "size"), [(9, 700, 5), (700, 9, 5), (300, 400, 224), (600, 500, 33), (2, 3, 7)]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("level", [None, 0, 255])
def test_any_number_of_taps_gives_the_sum_of_the_exact_weights(height, width, size, interpolation, level):
    source = picture(height, width) if level is None else np.full((height, width, 3), level, np.uint8)
    box = (0, 0, width, height)
    exact = resize.reference(source, box, (size, size), cubic=interpolation == "bicubic")
    ours = crop_resize(source, box, size, interpolation=interpolation)
    np.testing.assert_allclose(ours.transpose(2, 0, 1), exact, atol=LEVELS)


@pytest.mark.parametrize("n", [15, 16, 63, 64, 100])
def test_many_taps_down_a_column_are_summed_exactly(n):
    rng = np.random.default_rng(n)
    source, weight = rng.integers(0, 256, (40, n), dtype=np.uint8), np.tile(np.array([-700, 701], np.int32), 20)
    row = np.zeros(n + 16, np.int16)
    resize.vertical_exact(source.reshape(-1), 0, n, n, weight, 1, 0, 40, row)
    exact = (source.astype(int) * weight[:, None]).sum(axis=0)
    assert (exact < 0).any() and (exact > 0).any()
    np.testing.assert_array_equal(row[:n], (exact + 128) >> 8)


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_weights_of_a_pixel_sum_to_one_and_stay_inside_the_limits(cubic, flip):
    first, weight = np.empty(16, int), np.empty((60, 16), F32)
    count = resize.taps(3.0, 80.0, 3, 80, 7, cubic, False, flip, first, weight)
    np.testing.assert_allclose(weight[:count, :7].sum(axis=0), 1, atol=1e-6)
    assert first.min() >= 3 and first.max() + count <= 80
    assert not weight[:count, 7:].any()
    assert (np.diff(first[:7]) <= 0).all() if flip else (np.diff(first[:7]) >= 0).all()


@pytest.mark.parametrize("size", [3, 16, 21, 40])
@pytest.mark.parametrize("offset", [(0, 0), (-2, 1), (5, -7), (-50, 0)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_view_that_is_only_copied_shifted_or_flipped_is_exact(size, offset, flip, dtype):
    source, (x, y) = picture(size, size), offset
    out = crop_resize(source, (x, y, x + size, y + size), size, "pad", dtype=dtype, steps=[FLIP] if flip else [0])
    expected = np.pad(source, ((50, 50), (50, 50), (0, 0)))[50 + y : 50 + y + size, 50 + x : 50 + x + size]
    np.testing.assert_array_equal(out, expected[:, ::-1] if flip else expected)


@pytest.mark.parametrize(("side", "size"), [(22, 96), (32, 96)])
def test_bicubic_enlarging_reads_the_taps_of_every_pixel(side, size):
    source = picture(side, side)
    for view_set in (ViewSet(["eval"], crops=1, size=size, interpolation="bicubic"), view_sets.get("cifar", size)):
        plan = Drawer(view_set, 0)(0, np.arange(8), np.full(8, side), np.full(8, side))
        out = np.empty((1, 8, 3, size, size), F32)
        starts, sides = np.zeros(8, np.int64), np.full(8, side)
        Renderer(view_set, side, None, "float32")(source.reshape(-1), starts, sides, sides, plan, 0, [out])
        edge = view_set.crop_rule(0).edge
        for b in range(8):
            flip = plan.op[0, b, 0] == FLIP
            exact = resize.reference(source, plan.box[0, b], (size, size), edge, view_set.interpolation == "bicubic")
            np.testing.assert_allclose(out[0, b], exact[:, :, ::-1] if flip else exact, atol=LEVELS)
