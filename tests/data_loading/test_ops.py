"""Each op's kernel equals its NumPy reference, and torchvision's own op where there is one."""

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from data_loading.errors import ViewError
from data_loading.ops import (
    OPS,
    Affine,
    ColorJitter,
    Elastic,
    Erasing,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    HorizontalFlip,
    Normalize,
    Solarize,
    Thickness,
    affine,
    autocontrast,
    base,
    blur,
    color_jitter,
    elastic,
    equalize,
    erasing,
    flip,
    gamma,
    grayscale,
    invert,
    noise,
    normalize,
    own,
    posterize,
    program,
    round,
    sharpness,
    solarize,
    thickness,
    vertical_flip,
    warp,
)
from data_loading.ops.base import ARGS, PARAMS, Op
from data_loading.simd import LANES
from rendering import run_steps

F32 = np.float32
LEVEL = 0.02  # tolerance in levels of 255: float32 against float64 over a few operations
BLURRED = 0.1  # the same of a blur up to sigma 5, whose products are rounded to 128ths of a level


SIDE = 21  # not a multiple of what a processor handles at once


def image(seed=0, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (3, side, side)).astype(F32)


def run(code, args=(), words=(), plane=None, before=None):
    """One step of a program on `plane`, through the renderer; `before`: a step before it."""
    steps = [(code, args, words)] if before is None else [before, (code, args, words)]
    return run_steps(image() if plane is None else plane, steps)


def as_tensor(x):
    return torch.from_numpy(x / F32(255))


REFERENCE = [
    (base.FLIP, (), flip.reference),
    (base.BRIGHTNESS, (1.7,), color_jitter.reference_brightness),
    (base.CONTRAST, (0.3,), color_jitter.reference_contrast),
    (base.SATURATION, (1.6,), color_jitter.reference_saturation),
    (base.HUE, (-0.37,), color_jitter.reference_hue),
    (base.GRAYSCALE, (), grayscale.reference),
    (base.BLUR, (1.3, 4), blur.reference),
    (base.BLUR, (9.0, 27), blur.reference),  # the radius is cut to the side
    (base.SOLARIZE, (128.0,), solarize.reference),
    (base.AFFINE, (0.9, -0.3, 0.1, 0.2, 1.1, -0.2), lambda x, *m: affine.reference(x, m)),
    (base.THICKNESS, (0.5,), thickness.reference),
    (base.THICKNESS, (-0.4,), thickness.reference),
    (base.GAMMA, (0.6, 1.2), gamma.reference),
    (base.ERASING, (0.1, 0.3, 0.5, 0.4, 9.0, 99.0, 200.0), erasing.reference),
    (base.ROUND, (), round.reference),
    (base.INVERT, (), invert.reference),
    (base.POSTERIZE, (3,), posterize.reference),
    (base.VERTICAL_FLIP, (), vertical_flip.reference),
    (base.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 0, 77), warp.reference),
    (base.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 1, 77), warp.reference),
    (base.SHARPNESS, (0.2,), sharpness.reference),
    (base.SHARPNESS, (1.9,), sharpness.reference),
    (base.EQUALIZE, (), equalize.reference),
    (base.AUTOCONTRAST, (), autocontrast.reference),
]


@pytest.mark.parametrize(("code", "args", "reference"), REFERENCE)
def test_a_kernel_equals_its_numpy_reference(code, args, reference):
    args = tuple(float(F32(a)) for a in args)
    tolerance = BLURRED if code == base.BLUR else LEVEL
    np.testing.assert_allclose(run(code, args), reference(image(), *args), atol=tolerance)


@pytest.mark.parametrize("sigma", [0.19, 0.2, 0.203, 0.206, 0.21, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_a_blur_leaves_an_even_image_as_it_is(sigma, level):
    plane = np.full((3, 130, 130), level, F32)
    radius = np.ceil(3 * sigma)
    np.testing.assert_allclose(run(base.BLUR, (sigma, radius), plane=plane), plane, atol=(radius + 2) / 128)


TORCHVISION = [
    (base.FLIP, (), tv.horizontal_flip),
    (base.BRIGHTNESS, (0.4,), tv.adjust_brightness),
    (base.BRIGHTNESS, (1.8,), tv.adjust_brightness),
    (base.CONTRAST, (0.2,), tv.adjust_contrast),
    (base.CONTRAST, (1.8,), tv.adjust_contrast),
    (base.SATURATION, (0.0,), tv.adjust_saturation),
    (base.SATURATION, (1.8,), tv.adjust_saturation),
    (base.HUE, (0.2,), tv.adjust_hue),
    (base.HUE, (-0.5,), tv.adjust_hue),
    (base.HUE, (0.5,), tv.adjust_hue),
    (base.GRAYSCALE, (), lambda x: tv.rgb_to_grayscale(x, 3)),
    (base.SOLARIZE, (128.0,), lambda x, t: tv.solarize(x, t / 255)),
    (base.GAMMA, (1.4, 0.8), lambda x, g, a: tv.adjust_gamma(x, g, a)),
    (base.BLUR, (0.5, 2), lambda x, s, r: tv.gaussian_blur(x, 2 * math.ceil(3 * s) + 1, s)),
    (base.BLUR, (2.0, 6), lambda x, s, r: tv.gaussian_blur(x, 2 * math.ceil(3 * s) + 1, s)),
]


@pytest.mark.parametrize(("code", "args", "theirs"), TORCHVISION)
def test_a_kernel_equals_torchvision_on_float_tensors(code, args, theirs):
    tolerance = BLURRED if code == base.BLUR else LEVEL
    np.testing.assert_allclose(run(code, args), theirs(as_tensor(image()), *args).numpy() * 255, atol=tolerance)


@pytest.mark.parametrize("level", [0.0, 128.0, 255.0])
def test_ops_on_one_flat_colour_stay_finite_and_in_range(level):
    plane = np.full((3, 8, 8), level, F32)
    for code, args, _ in REFERENCE:
        out = run(code, args, plane=plane)
        rounding = 1e-3  # weights of a blur sum to 1 within float32
        assert np.isfinite(out).all() and out.min() >= -rounding and out.max() <= 255 + rounding, code


def test_solarize_inverts_at_the_threshold_and_above():
    plane = np.broadcast_to(np.array([127.0, 128.0, 129.0], F32), (3, 3, 3))
    assert run(base.SOLARIZE, (128.0,), plane=plane)[0, 0].tolist() == [127, 127, 126]


def test_affine_equals_torch_grid_sample():
    matrix = np.array([0.8, -0.4, 0.15, 0.3, 1.2, -0.1], F32)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(matrix.reshape(1, 2, 3)), (1, 3, SIDE, SIDE), align_corners=False
    )
    theirs = torch.nn.functional.grid_sample(torch.from_numpy(image())[None], grid, align_corners=False)[0]
    np.testing.assert_allclose(
        run(base.AFFINE, matrix), theirs.numpy(), atol=0.1
    )  # float32 positions of up to 23 pixels


def test_elastic_displaces_by_a_bicubic_field():
    key, sigma = (123, 456), 0.2
    field = np.empty((2, 4, 4), F32)
    elastic.displacements(np.uint32(key[0]), np.uint32(key[1]), F32(sigma), field)
    out = run(base.ELASTIC, (sigma,), words=[(1, key[0]), (2, key[1])])
    np.testing.assert_allclose(out, elastic.reference(image(), field), atol=0.1)
    dense = torch.nn.functional.interpolate(
        torch.from_numpy(field)[None], (SIDE, SIDE), mode="bicubic", align_corners=True
    )
    mine = [[elastic.spread(field[0], SIDE, SIDE, y, x) for x in range(SIDE)] for y in range(SIDE)]
    np.testing.assert_allclose(mine, dense[0, 0].numpy(), atol=1e-5)


def test_affine_then_elastic_is_one_resampling_of_the_composed_maps():
    key, matrix = (123, 456), (0.9, -0.3, 0.1, 0.2, 1.1, -0.2)
    field = np.empty((2, 4, 4), F32)
    elastic.displacements(np.uint32(key[0]), np.uint32(key[1]), F32(0.1), field)
    out = run(base.ELASTIC, (0.1,), words=[(1, key[0]), (2, key[1])], before=(base.AFFINE, matrix))
    np.testing.assert_allclose(out, elastic.reference(image(), field, matrix), atol=0.1)  # float32 positions


def test_noise_is_the_keyed_normal_noise_of_its_reference():
    out = run(base.NOISE, (12.0,), words=[(1, 99), (2, 7)])
    np.testing.assert_allclose(out, noise.reference(image(), 12.0, (99, 7)), atol=LEVEL)
    flat = np.full((3, 64, 64), 128, F32)
    added = run(base.NOISE, (10.0,), words=[(1, 1), (2, 2)], plane=flat) - 128
    assert abs(added.std() - 10) < 0.5 and abs(added.mean()) < 0.5  # five standard errors of 12,288 values


def test_normalize_equals_its_definition_and_torchvision():
    ours, plane = Normalize(), image()
    out = run_steps(plane, [], ours)
    np.testing.assert_allclose(out, normalize.reference(plane, ours.mean, ours.std), atol=1e-5)
    np.testing.assert_allclose(out, tv.normalize(as_tensor(plane), ours.mean, ours.std).numpy(), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_floats_are_the_nearest_to_the_float32(dtype):
    bits = run_steps(image(), [], Normalize(), dtype)
    exact = torch.from_numpy(run_steps(image(), [], Normalize()))
    assert torch.equal(torch.from_numpy(bits).view(getattr(torch, dtype)), exact.to(getattr(torch, dtype)))


def test_uint8_is_rounded_once_half_up():
    tile = np.zeros(3 * LANES, F32)
    tile[:7] = [0.0, 0.49, 0.5, 254.5, 255.0, 300.0, -3.0]
    out = np.empty(3 * 7, np.uint8)
    normalize.kernel(tile, 0, 7, np.ones(3, F32), np.zeros(3, F32), out, 0, 7, np.empty(LANES, np.uint8))
    assert out[:7].tolist() == [0, 0, 1, 255, 255, 255, 0]


def draws(op: Op, n=4000, side=64):
    """The steps of n samples: a list of [(code, args, words), ...] each."""
    params = np.zeros(PARAMS)
    params[: len(op.params())] = op.params()
    out = []
    for sample in range(n):
        state = np.array([0, 0, sample, 0, 1, 0], np.uint32)
        code, word = np.zeros(op.steps, np.uint8), np.zeros((op.steps, ARGS), np.uint32)
        count = program.draw(op.rule, params, state, side, own.table([op]), code, word.view(F32), word, 0)
        out.append([(int(code[k]), word.view(F32)[k].copy()) for k in range(count)])
    return out


def test_color_jitter_draws_every_order_equally_often():
    orders = [tuple(code for code, _ in steps) for steps in draws(ColorJitter(0.4, 0.4, 0.4, 0.1), n=6000)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.abs(counts - 250).max() < 5 * math.sqrt(250)  # five standard deviations of a count


def test_color_jitter_draws_factors_from_its_documented_intervals():
    values = {code: [] for code in (base.BRIGHTNESS, base.CONTRAST, base.SATURATION, base.HUE)}
    for steps in draws(ColorJitter(0.4, 1.5, 0.0, 0.1)):
        for code, args in steps:
            values[code].append(args[0])
    low_high = {code: (min(v), max(v)) for code, v in values.items() if v}
    assert base.SATURATION not in low_high  # a strength of 0 writes no step
    assert low_high[base.BRIGHTNESS] == pytest.approx((0.6, 1.4), abs=0.01)
    assert low_high[base.CONTRAST] == pytest.approx((0.0, 2.5), abs=0.01)
    assert low_high[base.HUE] == pytest.approx((-0.1, 0.1), abs=0.001)


@pytest.mark.parametrize(
    ("op", "place", "low", "high"),
    [
        (GaussianBlur((0.5, 1.5)), 0, 0.5, 1.5),
        (Thickness(0.6), 0, -0.6, 0.6),
        (Gamma((0.5, 2.0)), 0, 0.5, 2.0),
        (GaussianNoise((3.0, 9.0)), 0, 3.0, 9.0),
        (Affine(translate=0.1), 2, -0.2, 0.2),
        (Elastic(0.07), 0, 0.07, 0.07),
    ],
)
def test_an_op_draws_its_first_number_over_its_whole_interval(op, place, low, high):
    drawn = [steps[0][1][place] for steps in draws(op)]
    assert (min(drawn), max(drawn)) == pytest.approx((low, high), abs=0.02 * max(high - low, 1e-6) + 1e-6)


def test_an_affine_rotation_keeps_lengths_and_its_angle():
    for ((_, arg),) in draws(Affine(degrees=30), n=500):
        matrix = arg[[0, 1, 3, 4]].reshape(2, 2)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-6)
        assert abs(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))) <= 30


@pytest.mark.parametrize(
    ("op", "matrix"),
    [
        (Affine(scale=(2.0, 2.0)), [0.5, 0, 0, 0.5]),  # twice as large: half of the picture is read
        (Affine(scale=(0.5, 0.5)), [2, 0, 0, 2]),
    ],
)
def test_an_affine_scale_enlarges_the_picture(op, matrix):
    (((_, arg),),) = draws(op, n=1)
    assert arg[[0, 1, 3, 4]].tolist() == matrix


def test_affine_shear_and_aspect_keep_to_their_intervals():
    for ((_, arg),) in draws(Affine(shear=0.25), n=500):
        assert arg[0] == arg[4] == 1 and arg[3] == 0 and abs(arg[1]) <= 0.25
    for ((_, arg),) in draws(Affine(aspect=0.1), n=500):
        assert arg[0] * arg[4] == pytest.approx(1, abs=1e-6) and abs(math.log(arg[0])) <= 0.1 + 1e-6


def test_erasing_draws_areas_inside_the_view():
    for steps in draws(Erasing(scale=(0.1, 0.3), ratio=(0.5, 2.0)), n=1000):
        top, left, height, width = steps[0][1][:4]
        assert 0.1 - 1e-6 <= height * width <= 0.3 + 1e-6
        assert top >= 0 and left >= 0 and top + height <= 1 + 1e-6 and left + width <= 1 + 1e-6


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: HorizontalFlip(p=1.5), "p is 1.5"),
        (lambda: ColorJitter(hue=0.7), "hue is 0.7"),
        (lambda: GaussianBlur((2.0, 1.0)), r"sigma is \(2, 1\)"),
        (lambda: Solarize(300), "threshold is 300"),
        (lambda: Normalize(std=(0.2, 0.0, 0.2)), "std above 0"),
        (lambda: Erasing(scale=(-0.1, 0.2)), "scale"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, word):
    with pytest.raises(ViewError, match=word):
        make()


def test_every_op_has_a_summary_and_annotated_arguments():
    import inspect

    for name, op in OPS.items():
        assert OPS.summary(name).endswith("."), name
        for argument in list(inspect.signature(op.__init__).parameters.values())[1:]:
            named = argument.kind is not inspect.Parameter.VAR_KEYWORD  # **common: those of Op or Crop
            assert not named or argument.annotation is not inspect.Parameter.empty, f"{name}({argument.name})"
