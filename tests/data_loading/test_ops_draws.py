"""Each op draws its parameters from the distribution that its documentation states. Seeded: sample i is draw i.

A distribution is compared by Kolmogorov and Smirnov's largest distance between distribution functions: over n draws it
exceeds 2 / sqrt(n) once in 1500 times. A count is compared to five standard deviations.
"""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import kstest, norm, uniform

from data_loading import Strategy, ViewSet
from data_loading.ops import (
    Affine,
    AutoContrast,
    Brightness,
    Choose,
    ColorJitter,
    Contrast,
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
    Posterize,
    Rotate,
    Round,
    Saturation,
    Sharpness,
    Shear,
    Shift,
    Solarize,
    Thickness,
    Translate,
    VerticalFlip,
    base,
    elastic,
)
from data_loading.views.sampling import Drawer
from rendering import codes

N, SIDE = 4000, 64
COLOURS = (codes.BRIGHTNESS, codes.CONTRAST, codes.SATURATION, codes.HUE)


def draws(op, n=N, side=SIDE):
    """The steps of n samples: [(code, numbers), ...] each."""
    view_set = ViewSet([Strategy("one", [[op]])], crops=1, size=side)
    sides = np.full(n, side)
    plan = Drawer(view_set, 0)(0, np.arange(n), sides, sides)
    codes, numbers = plan.op[0], plan.numbers[0]
    return [
        [(int(c), a) for c, a in zip(code, number, strict=True) if c]
        for code, number in zip(codes, numbers, strict=True)
    ]


def only(op, code, n=N, side=SIDE):
    """The numbers (n, ARGS) of an op that writes one step of this code for every sample."""
    steps = draws(op, n, side)
    assert all([c for c, _ in one] == [code] for one in steps)
    return np.array([one[0][1] for one in steps])


def assert_uniform(values, low, high):
    values, rounding = np.asarray(values, np.float64), 1e-5 * (high - low)  # a plan holds float32
    assert_distributed(values, uniform(low, high - low).cdf)
    assert values.min() >= low - rounding and values.max() <= high + rounding


def assert_distributed(values, cdf):
    assert kstest(values, cdf).statistic < 2 / math.sqrt(len(values))


def assert_equally_likely(values, choices):
    """Of a list of hashable values."""
    counts = Counter(values)
    assert set(counts) == set(choices)
    mean = len(values) / len(choices)
    assert max(abs(c - mean) for c in counts.values()) < 5 * math.sqrt(mean)


def identity(a):
    return a[:, 0]


def sheared(a):
    return a[:, 1]


# op class, its argument, code of the step, the drawn number as a function of the step's, arguments besides p
MAGNITUDES = [
    (Brightness, "factor", codes.BRIGHTNESS, identity, (0.1, 1.9), 1.0),
    (Contrast, "factor", codes.CONTRAST, identity, (0.5, 3.0), 1.0),
    (Saturation, "factor", codes.SATURATION, identity, (0.0, 0.9), 1.0),
    (Sharpness, "factor", codes.SHARPNESS, identity, (0.1, 1.9), 1.0),
    (Hue, "turn", codes.HUE, identity, (-0.5, 0.2), None),
    (Solarize, "threshold", codes.SOLARIZE, identity, (0.0, 256.0), None),
    (Rotate, "degrees", codes.WARP, lambda a: np.degrees(np.arctan2(a[:, 3], a[:, 0])), (5.0, 30.0), 0.0),
    (Shear, "amount", codes.WARP, sheared, (0.1, 0.3), 0.0),
    (Translate, "fraction", codes.WARP, lambda a: -a[:, 2] / SIDE, (0.1, 0.45), 0.0),
]
NAMES = [m[0].__name__ for m in MAGNITUDES]


@pytest.mark.parametrize(("op", "argument", "code", "number", "ends", "about"), MAGNITUDES, ids=NAMES)
def test_a_magnitude_is_uniform_over_its_interval_whichever_end_comes_first(op, argument, code, number, ends, about):
    for pair in (ends, ends[::-1]):
        assert_uniform(number(only(op(**{argument: pair}, p=1.0), code)), *ends)


@pytest.mark.parametrize(("op", "argument", "code", "number", "ends", "about"), MAGNITUDES, ids=NAMES)
def test_a_magnitude_that_is_one_number_is_always_that_number(op, argument, code, number, ends, about):
    values = number(only(op(**{argument: ends[1]}, p=1.0), code, n=20))
    np.testing.assert_allclose(values, ends[1], rtol=1e-6)


@pytest.mark.parametrize(("op", "argument", "code", "number", "ends", "about"), MAGNITUDES, ids=NAMES)
def test_bins_are_at_equal_distances_with_both_ends_and_equally_likely(op, argument, code, number, ends, about):
    values = number(only(op(**{argument: ends}, bins=10, p=1.0), code))
    place = (values - ends[0]) / (ends[1] - ends[0]) * 9
    np.testing.assert_allclose(place, np.rint(place), atol=1e-4)
    assert_equally_likely(np.rint(place).tolist(), range(10))


MIRRORED = [m for m in MAGNITUDES if m[5] is not None]


@pytest.mark.parametrize(
    ("op", "argument", "code", "number", "ends", "about"), MIRRORED, ids=[m[0].__name__ for m in MIRRORED]
)
def test_a_mirrored_magnitude_lies_on_either_side_equally_often(op, argument, code, number, ends, about):
    high = about + ends[1] if about == 0.0 else 1.9
    low = about + 0.5 * (high - about)
    away = number(only(op(**{argument: (low, high)}, mirror=True, p=1.0), code)) - about
    assert abs((away > 0).sum() - N / 2) < 5 * math.sqrt(N) / 2
    assert_uniform(np.abs(away), low - about, high - about)
    assert_uniform(away[away > 0], low - about, high - about)  # the side is drawn apart from the amount


EVERY_OP = [
    Affine, AutoContrast, Brightness, ColorJitter, Contrast, Cutout, Elastic, Equalize, Erasing, Gamma, GaussianBlur,
    GaussianNoise, Grayscale, HorizontalFlip, Hue, Invert, Posterize, Rotate, Round, Saturation, Sharpness, Shear,
    Solarize, Thickness, Translate, VerticalFlip,
]  # fmt: skip


def test_the_list_of_ops_is_complete():
    ops = {op for _, op in base.OPS.items() if issubclass(op, base.Op) and op.__module__.startswith("data_loading.")}
    assert ops - set(EVERY_OP) == {Choose, Shift}  # test_shift.py


@pytest.mark.parametrize("op", EVERY_OP, ids=lambda op: op.__name__)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_an_op_is_applied_with_its_probability(op, p):
    """Cutout's side is never 0 by default; an erasing of the default size nearly always fits."""
    n = 1000
    applied = sum(bool(steps) for steps in draws(op(p=p), n))
    assert abs(applied - p * n) <= 5 * math.sqrt(n * p * (1 - p))


def test_bits_of_posterize_are_rounded_to_the_nearest():
    bits = only(Posterize((4.0, 8.0), p=1.0), codes.POSTERIZE)[:, 0]
    assert set(bits) == {4, 5, 6, 7, 8}
    counts = Counter(bits)
    for b, share in zip((4, 5, 6, 7, 8), (1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8), strict=True):  # ends: half an interval
        assert abs(counts[b] - share * N) < 5 * math.sqrt(share * (1 - share) * N)


def test_whole_translations_are_cut_to_pixels_towards_zero():
    shift = -only(Translate((-0.1, 0.1), axis="y", whole=True, p=1.0), codes.WARP)[:, 5]
    assert set(shift) == set(range(-6, 7))  # 6.4 pixels of 64
    zero = (shift == 0).mean()
    assert abs(zero - 2 / 12.8) < 5 * math.sqrt(0.16 * 0.84 / N)  # from -1 to 1


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_shear_or_translation_of_one_axis_leaves_the_other(axis):
    for op in (Shear(0.3, axis, p=1.0), Translate(0.3, axis, p=1.0)):
        numbers = only(op, codes.WARP, n=1)[0]
        changed = np.flatnonzero(numbers[:6] != [1, 0, 0, 0, 1, 0]).tolist()
        assert (
            changed
            == {("x", Shear): [1], ("y", Shear): [3], ("x", Translate): [2], ("y", Translate): [5]}[axis, type(op)]
        )


def test_a_shear_about_the_centre_leaves_it_in_place():
    for axis in ("x", "y"):
        a, b, tx, c, d, ty = only(Shear(0.4, axis, centre=True, p=1.0), codes.WARP, n=1)[0][:6]
        np.testing.assert_allclose([a * 32 + b * 32 + tx, c * 32 + d * 32 + ty], [32, 32], rtol=1e-6)


def test_sigma_of_a_blur_is_uniform_and_its_radius_three_sigma():
    numbers = only(GaussianBlur((0.1, 2.0), p=1.0), codes.BLUR)
    assert_uniform(numbers[:, 0], 0.1, 2.0)
    np.testing.assert_array_equal(numbers[:, 1], np.ceil(3 * numbers[:, 0].astype(np.float32)))
    assert set(only(GaussianBlur((0.1, 2.0), kernel_size=23, p=1.0), codes.BLUR, n=20)[:, 1]) == {11}


def test_sigma_of_noise_is_uniform_and_every_sample_has_a_key():
    view_set = ViewSet([Strategy("one", [[GaussianNoise((3.0, 9.0))]])], crops=1, size=SIDE)
    plan = Drawer(view_set, 0)(0, np.arange(N), np.full(N, SIDE), np.full(N, SIDE))
    assert_uniform(plan.numbers[0, :, 0, 0], 3.0, 9.0)
    for place in (1, 2):
        assert_uniform(plan.arg[0, :, 0, place] / 2**32, 0, 1)


def test_thickness_is_uniform_on_both_sides_of_nothing():
    assert_uniform(only(Thickness(0.6, p=1.0), codes.THICKNESS)[:, 0], -0.6, 0.6)


def test_gamma_and_gain_are_log_uniform():
    numbers = only(Gamma((0.5, 2.0), gain=(0.8, 1.6), p=1.0), codes.GAMMA)
    assert_uniform(np.log(numbers[:, 0]), math.log(0.5), math.log(2.0))
    assert_uniform(np.log(numbers[:, 1]), math.log(0.8), math.log(1.6))
    assert abs(np.corrcoef(np.log(numbers[:, :2]).T)[0, 1]) < 5 / math.sqrt(N)


def affine_numbers(n=N, **arguments):
    numbers = only(Affine(**arguments), codes.AFFINE, n)
    return numbers[:, [0, 1, 3, 4]].reshape(-1, 2, 2), numbers[:, [2, 5]]


def test_an_affine_rotation_is_uniform_and_keeps_lengths():
    matrix, shift = affine_numbers(degrees=30)
    np.testing.assert_allclose(matrix @ matrix.transpose(0, 2, 1), np.broadcast_to(np.eye(2), matrix.shape), atol=1e-6)
    assert_uniform(np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])), -30, 30)
    assert not shift.any()


def test_an_affine_shift_is_uniform_in_x_and_in_y():
    _, shift = affine_numbers(translate=0.1)
    assert_uniform(shift[:, 0] / 2, -0.1, 0.1)  # the side is 2
    assert_uniform(shift[:, 1] / 2, -0.1, 0.1)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 5 / math.sqrt(N)


def test_an_affine_scale_is_log_uniform_and_enlarges_the_picture():
    matrix, _ = affine_numbers(scale=(0.5, 2.0))
    assert_uniform(-np.log(matrix[:, 0, 0]), math.log(0.5), math.log(2.0))
    np.testing.assert_array_equal(matrix[:, 0, 0], matrix[:, 1, 1])
    twice, _ = affine_numbers(n=1, scale=(2.0, 2.0))
    np.testing.assert_allclose(twice[0], [[0.5, 0], [0, 0.5]])  # half of the picture is read


def test_affine_shear_and_aspect_are_uniform():
    matrix, _ = affine_numbers(shear=0.25)
    assert_uniform(matrix[:, 0, 1], -0.25, 0.25)
    assert (matrix[:, 0, 0] == 1).all() and (matrix[:, 1, 1] == 1).all() and not matrix[:, 1, 0].any()
    matrix, _ = affine_numbers(aspect=0.1)
    assert_uniform(np.log(matrix[:, 0, 0] / matrix[:, 1, 1]) / 2, -0.1, 0.1)
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-6)


def test_displacements_of_an_elastic_op_are_normal():
    field, all_ = np.empty((2, 4, 4), np.float32), []
    for key in range(200):
        elastic.displacements(np.uint32(key), np.uint32(7), np.float32(0.07), field)
        all_.append(field.copy())
    assert_distributed(np.ravel(all_), norm(0, 0.07).cdf)
    assert (only(Elastic(0.07), codes.ELASTIC, n=20)[:, 0] == np.float32(0.07)).all()


def test_an_erasing_has_uniform_area_log_uniform_ratio_and_uniform_place():
    numbers = only(Erasing(scale=(0.1, 0.3), ratio=(0.5, 2.0), fill=(1, 2, 3), p=1.0), codes.ERASING)
    top, left, height, width = numbers[:, :4].T
    assert_uniform(height * width, 0.1, 0.3)  # every shape fits: none is drawn again
    assert_uniform(np.log(height / width), math.log(0.5), math.log(2.0))
    assert_uniform(top / (1 - height), 0, 1)
    assert_uniform(left / (1 - width), 0, 1)
    assert (numbers[:, 4:7] == [1, 2, 3]).all()


def test_an_erasing_that_fits_nowhere_erases_nothing():
    assert not any(draws(Erasing(scale=(1.0, 1.0), ratio=(2.0, 3.0), p=1.0), 200))


def test_a_cutout_is_drawn_as_fast_autoaugments():
    """Its code: x0 = int(max(0, U(w) - v / 2)); a rectangle to min(w, x0 + v), whose last pixel Pillow includes."""
    side, numbers = 0.3 * SIDE, only(Cutout(0.3, fill=(125, 123, 114), p=1.0), codes.ERASING) * SIDE
    rng = np.random.default_rng(0)
    for place, extent in ((1, 3), (0, 2)):
        start = np.maximum(0, rng.uniform(0, SIDE, 100_000) - side / 2).astype(int)
        length = np.minimum(np.floor(start + side) + 1, SIDE) - start
        for mine, theirs in ((numbers[:, place], start), (numbers[:, extent], length)):
            values, expected = np.unique(theirs, return_counts=True)
            share = expected / len(theirs)
            counts = np.array([(np.rint(mine) == v).sum() for v in values])
            assert counts.sum() == N
            assert (np.abs(counts - N * share) < 5 * np.sqrt(N * share) + 1).all()


def test_a_cutout_inside_lies_anywhere_in_the_view_equally_often():
    numbers = only(Cutout(0.5, inside=True, p=1.0), codes.ERASING, side=8) * 8
    assert (np.rint(numbers[:, 2:4]) == 4).all()
    places = [tuple(np.rint(n[:2]).astype(int).tolist()) for n in numbers]
    assert_equally_likely(places, list(itertools.product(range(5), repeat=2)))


def test_a_cutout_of_no_side_writes_no_step():
    assert not any(draws(Cutout(0.0, p=1.0), 50))


def test_color_jitter_draws_every_order_equally_often():
    orders = [tuple(code for code, _ in steps) for steps in draws(ColorJitter(0.4, 0.4, 0.4, 0.1, p=1.0))]
    assert_equally_likely(orders, list(itertools.permutations(COLOURS)))


def test_color_jitter_draws_factors_from_its_documented_intervals():
    values = {code: [] for code in COLOURS}
    for steps in draws(ColorJitter(0.4, 1.5, 0.0, 0.1, p=1.0)):
        for code, numbers in steps:
            values[code].append(numbers[0])
    assert values[codes.SATURATION] == []  # a strength of 0 writes no step
    assert_uniform(values[codes.BRIGHTNESS], 0.6, 1.4)
    assert_uniform(values[codes.CONTRAST], 0.0, 2.5)
    assert_uniform(values[codes.HUE], -0.1, 0.1)


def test_choose_draws_its_policies_equally_often_and_as_many_times_as_said():
    policies = [[Invert(p=1.0)], [Round(), Grayscale(p=1.0)], [], [VerticalFlip(p=1.0)]]
    written = {(codes.INVERT,): 0, (codes.ROUND, codes.GRAYSCALE): 1, (): 2, (codes.VERTICAL_FLIP,): 3}
    chosen = [written[tuple(code for code, _ in steps)] for steps in draws(Choose(policies))]
    assert_equally_likely(chosen, range(4))
    pairs = [[Invert(p=1.0)], [VerticalFlip(p=1.0)]]
    twice = [tuple(code for code, _ in steps) for steps in draws(Choose(pairs, times=2))]
    assert_equally_likely(twice, list(itertools.product((codes.INVERT, codes.VERTICAL_FLIP), repeat=2)))


def test_ops_of_a_chosen_policy_keep_their_own_probability():
    applied = sum(bool(steps) for steps in draws(Choose([[Invert(p=0.25)]])))
    assert abs(applied - N / 4) < 5 * math.sqrt(N * 3 / 16)
