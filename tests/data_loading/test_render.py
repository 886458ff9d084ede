"""Rendering: one decoded image and its plan give all views, equal to the ops' references run one after the other."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

from data_loading import Strategy, ViewSet
from data_loading.errors import ViewError
from data_loading.ops import (
    OPS,
    Affine,
    Choose,
    ColorJitter,
    GaussianBlur,
    Grayscale,
    HorizontalFlip,
    Op,
    Solarize,
    VerticalFlip,
    program,
)
from data_loading.ops.normalize import Normalize
from data_loading.ops.step import ARGS
from data_loading.render import reference
from data_loading.render.numba_renderer import Renderer
from data_loading.views import view_sets
from data_loading.views.sampling import Drawer
from rendering import codes, run_steps


def pictures(n, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def render(images, view_set, dtype=np.uint8, seed=0, epoch=0):
    n, height, width, _ = images.shape
    view_set = view_sets.get(view_set)
    start = np.arange(n) * height * width * 3
    sides = np.full(n, height), np.full(n, width)
    plan = Drawer(view_set, seed)(epoch, np.arange(n), *sides)
    outs = [np.empty((len(members), n, 3, s, s), dtype) for s, members in view_set.groups()]
    renderer = Renderer(view_set, max(height, width), Normalize() if dtype == np.float32 else None)
    renderer(images.reshape(-1), start, *sides, plan, 0, outs)
    return outs, plan


THEIRS = {  # a step of a program, done by torchvision on float tensors in 0..1
    codes.FLIP: lambda x, a: tv.horizontal_flip(x),
    codes.BRIGHTNESS: lambda x, a: tv.adjust_brightness(x, a[0]),
    codes.CONTRAST: lambda x, a: tv.adjust_contrast(x, a[0]),
    codes.SATURATION: lambda x, a: tv.adjust_saturation(x, a[0]),
    codes.HUE: lambda x, a: tv.adjust_hue(x, a[0]),
    codes.GRAYSCALE: lambda x, a: tv.rgb_to_grayscale(x, 3),
    codes.BLUR: lambda x, a: tv.gaussian_blur(x, 2 * int(np.ceil(3 * a[0])) + 1, float(a[0])),
}


def test_a_simclr_view_equals_torchvision_run_on_the_same_numbers():
    images = pictures(24, 90, 120)
    (out,), plan = render(images, ViewSet(["simclr"], size=64), np.float32)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (Normalize().mean, Normalize().std))
    for v in range(2):
        for b, source in enumerate(images):
            x0, y0, x1, y1 = plan.box[v, b].astype(int).tolist()
            x = torch.from_numpy(source).permute(2, 0, 1).float() / 255
            x = tv.resized_crop(x, y0, x0, y1 - y0, x1 - x0, [64, 64], antialias=True)
            for code, arg in zip(plan.op[v, b].tolist(), plan.numbers[v, b].tolist(), strict=True):
                x = THEIRS[code](x, arg) if code else x
            ours = (out[v, b] * std + mean) * 255
            assert np.abs(ours - x.numpy() * 255).max() < 0.1  # a tenth of a level, after up to seven float32 ops


@pytest.mark.parametrize(
    "view_set",
    [
        ViewSet(["simclr", "byol"], crops=2, size=20, shared_crops=True),
        ViewSet(["simclr"], crops=2, size=21, interpolation="bicubic", local=2, local_size=9),
        view_sets.get("digits_all", 10),
        view_sets.get("cifar", 32),
        view_sets.get("eval", 65),
    ],
    ids=str,
)
def test_every_program_equals_the_numpy_references_run_one_after_the_other(view_set, monkeypatch):
    images = pictures(6, 32, 32)
    outs, _ = render(images, view_set, np.float32)
    monkeypatch.setenv("MASSRL_REFERENCE", "1")
    exact, _ = render(images, view_set, np.float32)
    for ours, theirs in zip(outs, exact, strict=True):
        # In levels of 255: numbers of 16 bits in the resize and the blur, spread by contrast and saturation
        assert np.abs(ours - theirs).max() * 0.225 * 255 < 0.3


def test_a_second_blur_and_a_contrast_behind_a_blur_are_passes_of_their_own():
    steps = [
        (codes.BLUR, (1.0, 3)),
        (codes.CONTRAST, (0.5,)),
        (codes.BLUR, (0.7, 3)),
        (codes.FLIP, ()),
        (codes.HUE, (0.1,)),
    ]
    image = np.random.default_rng(0).integers(0, 256, (3, 20, 20)).astype(np.float32)
    x = torch.from_numpy(image / 255)
    for code, args in steps:
        x = THEIRS[code](x, args)
    assert np.abs(run_steps(image, steps) - x.numpy() * 255).max() < 0.1


def test_views_of_a_shared_crop_differ_only_by_their_ops():
    plain = Strategy("plain", [[]])
    inverted = Strategy("inverted", [[Solarize(0.0, p=1.0)]])
    (out,), _ = render(pictures(4, 40, 50), ViewSet([plain, inverted], crops=2, size=16, shared_crops=True))
    difference = out[0:2].astype(int) - (255 - out[2:4].astype(int))
    assert difference.min() >= 0 and difference.max() <= 1  # a half is rounded up on either side


@pytest.mark.parametrize("op", [op for _, op in OPS.items() if issubclass(op, Op) and op is not Choose])
def test_white_stays_in_range_when_another_pass_follows(op):
    """A resized white lies a few hundredths above 255; what an op makes of it must survive a plane between passes."""
    white = np.full((8, 100, 120, 3), 255, np.uint8)
    views_ = ViewSet([Strategy("s", [[op(p=1.0), VerticalFlip(p=1.0)]])], crops=2, size=40)
    (ours,), plan = render(white, views_)
    expected, ones, zeros = np.empty_like(ours), np.ones(3, np.float32), np.zeros(3, np.float32)
    places, sides = np.arange(8) * white[0].size, (np.full(8, 100), np.full(8, 120))
    reference.render(views_, white.reshape(-1), places, *sides, plan, 0, [expected], ones, zeros, "uint8")
    assert (np.abs(ours.astype(int) - expected) <= 1).mean() > 0.999  # edges of a warp may fall on another pixel


def test_a_plan_of_other_images_or_another_view_set_is_refused():
    small, large = pictures(1, 20, 20), pictures(1, 90, 90)
    view_set = ViewSet(["simclr"], crops=2, size=16)
    _, plan = render(large, view_set)
    renderer = Renderer(view_set, 90, None)
    out = [np.zeros((2, 1, 3, 16, 16), np.uint8)]
    with pytest.raises(ViewError, match="the plan does not fit: a box lies outside its image"):
        renderer(small[0].reshape(-1), np.zeros(1, np.int64), np.array([20]), np.array([20]), plan, 0, out)
    _, turned = render(large, ViewSet([Strategy("simclr", [[Affine(degrees=10.0, p=1.0)]])], crops=2, size=16))
    with pytest.raises(ViewError, match="a step whose op is not in the view set"):
        renderer(large[0].reshape(-1), np.zeros(1, np.int64), np.array([90]), np.array([90]), turned, 0, out)


def test_global_and_local_views_fill_blocks_of_their_own_size():
    (large, small), _ = render(pictures(3, 40, 50), ViewSet(["byol"], crops=2, size=24, local=4, local_size=10))
    assert large.shape == (2, 3, 3, 24, 24) and small.shape == (4, 3, 3, 10, 10)
    assert large.std() > 10 and small.std() > 10


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1), (3, 2), (700, 900)])
def test_images_of_any_shape_render(height, width):
    (out,), _ = render(pictures(2, height, width), ViewSet(["simclr", "byol"], size=8))
    assert out.shape == (4, 2, 3, 8, 8)


def test_evaluation_equals_pillows_resize_then_centre_crop_within_one_level():
    images = pictures(3, 150, 203)
    (out,), _ = render(images, view_sets.get("eval", 112))
    for b, source in enumerate(images):
        resized = Image.fromarray(source).resize((int(128 * 203 / 150), 128), Image.Resampling.BILINEAR)
        left, top = round((resized.width - 112) / 2), round((128 - 112) / 2)
        theirs = np.asarray(resized.crop((left, top, left + 112, top + 112)), int).transpose(2, 0, 1)
        assert np.abs(out[0, b].astype(int) - theirs).max() <= 1  # Pillow rounds after each pass


def test_floats_and_bytes_of_one_plan_differ_by_rounding_only():
    images, view_set = pictures(8, 30, 30), ViewSet(["simclr", "byol"], size=16)
    (floats,), _ = render(images, view_set, np.float32)
    (bytes_,), _ = render(images, view_set, np.uint8)
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (Normalize().mean, Normalize().std))
    assert np.abs((floats * std + mean) * 255 - bytes_).max() <= 0.5 + 1e-3


def test_a_pixel_does_not_depend_on_the_views_drawn_beside_it():
    images = pictures(5, 30, 40)
    (alone,), _ = render(images, ViewSet(["simclr"], size=16))
    (together,), _ = render(images, ViewSet(["simclr", "byol"], size=16))
    np.testing.assert_array_equal(alone, together[:2])


def test_a_strategy_without_effect_gives_the_resized_crop():
    idle = [HorizontalFlip(0.0), ColorJitter(p=0.0), Grayscale(0.0), GaussianBlur(p=0.0)]
    (a,), _ = render(pictures(2, 30, 40), ViewSet([Strategy("s", [idle])], size=16))
    (b,), _ = render(pictures(2, 30, 40), ViewSet([Strategy("s", [[]])], size=16))
    np.testing.assert_array_equal(a, b)


DIGEST = """
import hashlib, sys
from data_loading import Loader, ViewSet
views = ViewSet(["simclr", "byol", "digits_all"], size=16)
digest = hashlib.sha256()
for batch in Loader(sys.argv[1], 32, views, num_workers=2):
    digest.update(batch.blocks[0].numpy().tobytes())
print(digest.hexdigest())
"""


@pytest.mark.long
def test_processes_that_compile_at_once_and_one_with_their_cache_draw_the_same_bytes(tmp_path):
    from data_loading.sources import as_beton

    file = as_beton("digits", tmp_path, progress=False)
    command = [sys.executable, "-c", DIGEST, str(file)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}

    def start():
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    told = [process.communicate() for process in [start(), start()]] + [start().communicate()]
    (first, said), (second, also), (cached, silent) = told
    assert "compiling the kernels" in said and "compiling the kernels" in also and "compiling" not in silent
    assert len(first.strip()) == 64 and first == second == cached


def test_ops_of_whole_images_run_one_after_another_between_ops_of_rows():
    steps = [
        (codes.HUE, (0.1,)),
        (codes.VERTICAL_FLIP, ()),
        (codes.WARP, (1, 0.1, 0, 0, 1, 0, 0, 0)),
        (codes.SHARPNESS, (1.5,)),
        (codes.CONTRAST, (0.5,)),
        (codes.EQUALIZE, ()),
        (codes.SOLARIZE, (128,)),
        (codes.AUTOCONTRAST, ()),
    ]
    image = np.random.default_rng(1).integers(0, 256, (3, 33, 33)).astype(np.float32)
    code = np.array([code for code, _ in steps], np.uint8)
    arg = np.zeros((len(steps), ARGS), np.float32)
    for row, (_, numbers) in zip(arg, steps, strict=True):
        row[: len(numbers)] = numbers
    expected = program.reference(code, arg.view(np.uint32), image)
    # equalize rounds: a value that float32 has just below a half, and float64 above it, is another level for it
    assert (np.abs(run_steps(image, steps) - expected) < 0.1).mean() > 0.99


@pytest.mark.parametrize(
    "between", [(), (codes.VERTICAL_FLIP,), (codes.FLIP, codes.VERTICAL_FLIP, codes.BLUR)], ids=str
)
@pytest.mark.parametrize("second", [codes.EQUALIZE, codes.AUTOCONTRAST, codes.CONTRAST, codes.WARP, codes.SHARPNESS])
def test_a_view_upside_down_between_two_steps_that_need_all_of_it_is_not_overwritten_while_it_is_read(between, second):
    numbers = {codes.BLUR: (0.8, 3), codes.CONTRAST: (0.5,), codes.SHARPNESS: (0.5,)}
    numbers[codes.WARP] = (1, 0.1, 0, 0, 1, 0, 0, 0)
    order = [codes.EQUALIZE, *between, second, codes.VERTICAL_FLIP, codes.AUTOCONTRAST]
    rows = np.linspace(20, 120, 33)[:, None] + np.random.default_rng(2).integers(0, 60, (3, 33, 33))
    image = rows.astype(np.uint8).astype(np.float32)
    steps = [(code, numbers.get(code, ())) for code in order]
    arg = np.zeros((len(steps), ARGS), np.float32)
    for row, (_, given) in zip(arg, steps, strict=True):
        row[: len(given)] = given
    expected = program.reference(np.array(order, np.uint8), arg.view(np.uint32), image)
    # equalize and autocontrast round, and spread what has been rounded to another level
    assert (np.abs(run_steps(image, steps) - expected) < 4).mean() > 0.97


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize("code", [codes.WARP, codes.ERASING])
def test_numbers_that_no_op_samples_leave_the_memory_around_a_view_alone(code, number):
    """A saved plan may hold any numbers; a view of it may look like anything, of levels from 0 to 255."""
    image = np.full((3, 20, 20), 200, np.float32)
    for place in range(4 if code == codes.ERASING else 6):
        numbers = [1, 0, 0, 0, 1, 0, 0, 7] if code == codes.WARP else [0.2, 0.2, 0.5, 0.5, 7, 7, 7]
        numbers[place] = number
        out = run_steps(image, [(code, tuple(numbers))])
        assert np.isin(out.round(2), [7, 200]).all()
