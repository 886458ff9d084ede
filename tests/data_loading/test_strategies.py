"""Strategies sample the ops, probabilities and magnitudes of their papers; images agree with torchvision's."""

import json
import math
from collections import Counter
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from scipy.stats import binomtest, chisquare
from sklearn.datasets import load_sample_image
from torch import manual_seed
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, RandAugment, TrivialAugmentWide
from torchvision.transforms.autoaugment import InterpolationMode, _apply_op

from data_loading import ViewSet
from data_loading.errors import ViewError
from data_loading.ops import Choose, Resize, Round, Solarize, Translate
from data_loading.render.numba_renderer import Renderer
from data_loading.strategies import STRATEGIES, Strategy, strategy
from data_loading.strategies.fastautoaugment import published
from data_loading.views.sampling import Drawer
from helpers import test_data
from rendering import codes

SIDE = 32
UNLIKELY = 1e-3  # a p-value below this fails; seeds are fixed, so the outcome of a test never changes


def view_set_of(made, variant=0, role="global", size=SIDE):
    """A view set with one view: one variant of a strategy, applied to the whole image."""
    return ViewSet([Strategy("one", [made.ops(role, variant)], crop=Resize(), size=size)], crops=1)


def sample_ops(made, n, seed=0, size=SIDE, **which):
    """Sample the ops of n views of a strategy's variant: op codes (n, K), numbers (n, K, 8)."""
    sides = np.full(n, SIDE)
    plan = Drawer(view_set_of(made, size=size, **which), seed)(0, np.arange(n), sides, sides)
    return plan.op[0], plan.numbers[0]


def render(made, picture, n, seed=0):
    """Render the n views of `picture`, uint8 (S, S, 3), whose ops `sample_ops` returns: uint8 (n, S, S, 3)."""
    view_set, sides = view_set_of(made), np.full(n, SIDE)
    plan = Drawer(view_set, seed)(0, np.arange(n), sides, sides)
    out = np.empty((1, n, 3, SIDE, SIDE), np.uint8)
    Renderer(view_set, SIDE, None)(picture.reshape(-1), np.zeros(n, np.int64), sides, sides, plan, 0, [out])
    return out[0].transpose(0, 2, 3, 1)


@pytest.fixture(scope="module")
def picture():
    """A photograph, uint8 (SIDE, SIDE, 3)."""
    return np.asarray(Image.fromarray(load_sample_image("china.jpg")).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


# --- sampled ops, by the names of torchvision's tables

NAMES = {
    codes.BRIGHTNESS: "Brightness",
    codes.SATURATION: "Color",
    codes.CONTRAST: "Contrast",
    codes.SHARPNESS: "Sharpness",
    codes.POSTERIZE: "Posterize",
    codes.SOLARIZE: "Solarize",
    codes.AUTOCONTRAST: "AutoContrast",
    codes.EQUALIZE: "Equalize",
    codes.INVERT: "Invert",
    codes.ERASING: "Cutout",
}
FACTORS = ("Brightness", "Color", "Contrast", "Sharpness")
WARPS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


def term(code, numbers):
    """An op as (name, magnitude), with the magnitude and sign that torchvision's _apply_op takes.

    None for a warp of magnitude 0, because the identity matrix does not say which warp it was.
    """
    if code != codes.WARP:
        name = NAMES[code]
        if name in (*FACTORS, "Posterize", "Solarize"):
            return name, round(float(numbers[0]) - (name in FACTORS), 3)
        return name, 0.0
    a, b, tx, c, d, ty = (float(x) for x in numbers[:6])
    if (a, b, c, d) == (1, 0, 0, 1):
        return ("TranslateX", -tx) if tx else ("TranslateY", -ty) if ty else None
    if a == d == 1 and (b == 0 or c == 0):
        return ("ShearX", round(b, 3)) if b else ("ShearY", round(c, 3))
    return "Rotate", round(math.degrees(math.atan2(c, a)), 3)


def terms(op, numbers):
    all_ = [term(code, n) for code, n in zip(op, numbers, strict=True) if code not in (codes.END, codes.ROUND)]
    return tuple(t for t in all_ if t is not None)


def outcomes(op, numbers):
    """Count how often each sequence of ops was sampled: Counter of `terms`."""
    numbers = np.where((op == codes.ERASING)[..., None], 0, numbers)
    rows = np.concatenate([op[..., None], np.nan_to_num(numbers)], axis=2).round(5)
    found, first, count = np.unique(rows.reshape(len(rows), -1), axis=0, return_index=True, return_counts=True)
    total = Counter()
    for i, n in zip(first, count, strict=True):
        total[terms(op[i], numbers[i])] += int(n)
    assert len(found) == len(first)
    return total


def signed(name, magnitudes, mirrored):
    """The terms of a row of torchvision's table, each with its probability; None is the identity."""
    if name == "Identity":
        return {None: 1.0}
    values = [0.0] if magnitudes.ndim == 0 else magnitudes.tolist()
    share: dict = {}
    for value, sign in product(values, (1, -1) if mirrored else (1,)):
        value = float(int(value)) if name.startswith("Translate") else float(value)
        key = (name, round(sign * value, 3)) if value or name not in WARPS else None
        share[key] = share.get(key, 0.0) + 1 / len(values) / (2 if mirrored else 1)
    return share


def agree(found, expected):
    """Whether sampled counts fit expected probabilities by a chi-square test, and nothing unexpected was sampled.

    Sequences with expected counts below 5 are pooled, as the test requires.
    """
    n = sum(found.values())
    assert sum(expected.values()) == pytest.approx(1)
    assert {k for k, share in expected.items() if share > 0} >= set(found)
    large = [k for k, share in expected.items() if share * n >= 5]
    counts, shares = [found[k] for k in large], [expected[k] for k in large]
    if 1 - sum(shares) > 5 / n:
        counts, shares = [*counts, n - sum(counts)], [*shares, 1 - sum(shares)]
    return chisquare(counts, np.array(shares) / sum(shares) * sum(counts)).pvalue > UNLIKELY


@pytest.mark.parametrize("magnitude", range(31))
def test_randaugment_samples_torchvisions_ops_and_magnitudes_uniformly(magnitude):
    space = RandAugment()._augmentation_space(31, (SIDE, SIDE))
    expected: Counter = Counter()
    for name, (magnitudes, mirrored) in space.items():
        at = magnitudes[[magnitude]] if magnitudes.ndim else magnitudes
        for key, share in signed(name, at, mirrored).items():
            expected[(key,) if key else ()] += share / len(space)
    assert agree(outcomes(*sample_ops(STRATEGIES["randaugment"](1, magnitude, flip=0.0), 4000, magnitude)), expected)


def test_randaugment_samples_its_ops_with_replacement():
    expected: Counter = Counter()
    space = RandAugment()._augmentation_space(31, (SIDE, SIDE))
    for one, other in product(space, space):
        expected[tuple(name for name in (one, other) if name != "Identity")] += 1 / len(space) ** 2
    found: Counter = Counter()
    for program, n in outcomes(*sample_ops(STRATEGIES["randaugment"](flip=0.0), 20000)).items():
        found[tuple(name for name, _ in program)] += n
    assert agree(found, expected)


def test_trivialaugment_samples_torchvisions_ops_and_31_magnitudes_uniformly():
    space = TrivialAugmentWide()._augmentation_space(31)
    expected: Counter = Counter()
    for name, row in space.items():
        for key, share in signed(name, *row).items():
            expected[(key,) if key else ()] += share / len(space)
    assert agree(outcomes(*sample_ops(STRATEGIES["trivialaugment"](flip=0.0), 60000)), expected)


@pytest.mark.parametrize("size", [8, 32, 96, 100, 224])
def test_trivialaugment_translates_by_torchvisions_whole_pixels(size):
    op, numbers = sample_ops(STRATEGIES["trivialaugment"](flip=0.0), 20000, size=size)
    warped = numbers[(op[:, 0] == codes.WARP)][:, 0]
    shifts = warped[(warped[:, [0, 1, 3, 4]] == [1, 0, 0, 1]).all(axis=1)][:, [2, 5]]
    pixels, _ = TrivialAugmentWide()._augmentation_space(31)["TranslateX"]
    assert set(np.abs(shifts).ravel()) == {float(int(p)) for p in pixels.tolist()}


def test_a_float_magnitude_with_an_integer_value_is_accepted():
    for mine, theirs in zip(*(sample_ops(STRATEGIES["randaugment"](2.0, m), 50) for m in (9, 9.0)), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(("size", "axis"), [(8, "x"), (96, "y")])
def test_a_translation_in_pixels_does_not_depend_on_the_side_of_the_view(size, axis):
    made = Strategy("one", [[Translate(pixels=(3.0, 7.5), bins=4, axis=axis, mirror=True, p=1.0)]])
    _, numbers = sample_ops(made, 2000, size=size)
    shifts = -numbers[:, 0, [2, 5]] if axis == "x" else -numbers[:, 0, [5, 2]]
    assert set(shifts[:, 0]) == {s * v for s in (1, -1) for v in (3.0, 4.5, 6.0, 7.5)} and not shifts[:, 1].any()


@pytest.mark.parametrize(("arguments", "words"), [
    ({"fraction": 0.1, "pixels": 3}, "fraction and pixels are given"),
    ({"pixels": 5000}, "pixels is 5000; it must be a number, or a pair of numbers, from -4096 to 4096"),
    ({"pixels": "3"}, "pixels is '3'"),
])  # fmt: skip
def test_invalid_arguments_of_a_translation_are_refused(arguments, words):
    with pytest.raises(ViewError, match=words):
        Translate(**arguments)


def pair_shares(pairs, row):
    """Probabilities of all sequences of ops for pairs of (name, p, magnitude). row(name, magnitude): see `signed`."""
    expected: Counter = Counter()
    for (name0, p0, m0), (name1, p1, m1) in pairs:
        first, second = ({(): 1 - p, **{(k,): p * s for k, s in row(n, m).items()}} for n, p, m in
                         ((name0, p0, m0), (name1, p1, m1)))  # fmt: skip
        for (k0, s0), (k1, s1) in product(first.items(), second.items()):
            expected[k0 + k1] += s0 * s1 / len(pairs)
    return expected


@pytest.mark.parametrize("policy", [p.value for p in AutoAugmentPolicy])
def test_autoaugment_samples_torchvisions_policies_with_their_probabilities_and_magnitudes(policy):
    theirs = AutoAugment(AutoAugmentPolicy(policy))
    space = theirs._augmentation_space(10, (SIDE, SIDE))

    def row(name, index):
        magnitudes, mirrored = space[name]
        return signed(name, magnitudes if index is None else magnitudes[[index]], mirrored)

    found = outcomes(*sample_ops(STRATEGIES["autoaugment"](policy, flip=0.0), 40000))
    assert agree(found, pair_shares(theirs.policies, row))


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_fastautoaugment_samples_its_pairs_with_their_probabilities(policy):
    expected = pair_shares(published()["policies"][policy], lambda name, magnitude: {name: 1.0})
    found: Counter = Counter()
    for program, n in outcomes(*sample_ops(STRATEGIES["fastautoaugment"](policy, flip=0.0), 60000)).items():
        found[tuple(name for name, _ in program)] += n
    assert agree(found, expected)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_the_ops_of_fastautoaugment_have_the_published_probabilities_and_values(policy):
    pairs = published()["policies"][policy]
    policies = STRATEGIES["fastautoaugment"](policy).variants[0][1].policies
    assert len(policies) == len(pairs)
    for ops, pair in zip(policies, pairs, strict=True):
        for op, (name, p, magnitude) in zip((op for op in ops if not isinstance(op, Round)), pair, strict=True):
            assert NAMES.get(op.rule, name) == name and op.p == p
            if name in ("AutoContrast", "Invert", "Equalize"):
                continue
            low, high = published()["ranges"][name]
            value = low + magnitude * (high - low)
            first, last, bins, mirrored, about, *more = op.params()
            assert first == last == (int(value) if name == "Posterize" else value)
            assert (bins, mirrored, about) == (0, name in WARPS, 0)
            assert more[-3:] == [125, 123, 114] or name != "Cutout"
            assert type(op).__name__ + ("Y" if more[2:3] == [1.0] else "X") == name or name[-1] not in "XY"


@pytest.mark.parametrize("name", ["randaugment", "autoaugment", "fastautoaugment", "trivialaugment", "three_augment"])
def test_solarize_in_a_policy_follows_a_round_to_integer_levels(name):
    choose = next(op for op in STRATEGIES[name]().variants[0] if isinstance(op, Choose))
    before = [ops[at - 1] for ops in choose.policies for at, op in enumerate(ops) if isinstance(op, Solarize)]
    assert before and all(isinstance(op, Round) and op.p == 1 for op in before)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_the_policies_of_fast_autoaugment_are_the_published_ones(policy):
    original = json.loads(test_data("data", "fast_autoaugment.json").read_text())
    assert published()["policies"][policy] == original[policy] and published()["ranges"] == original["op_ranges"]


# --- rendered pixels

SOME = [0, 1, 5, 9, 14, 17, 23, 30]


@pytest.mark.parametrize(("name", "arguments"), [("randaugment", {"magnitude": m}) for m in SOME] + [
    ("trivialaugment", {})])  # fmt: skip
def test_each_op_of_a_policy_equals_torchvisions_on_a_pillow_image(picture, name, arguments):
    times = {"num_ops": 1} if name == "randaugment" else {}
    for apart, program in replayed(STRATEGIES[name](**arguments, **times, flip=0.0), picture, 150):
        # Pillow rounds or truncates to integer levels, also the mean for contrast: the tolerance is 1 level
        assert (apart <= 1).mean() >= 0.999, (program, apart.max())


def replayed(made, picture, n):
    """For n views: difference (S, S) from torchvision's _apply_op on a Pillow image, and the sampled terms."""
    for view, *sampled in zip(render(made, picture, n), *sample_ops(made, n), strict=True):
        theirs = Image.fromarray(picture)
        for what, magnitude in terms(*sampled):
            theirs = _apply_op(theirs, what, magnitude, InterpolationMode.NEAREST, None)
        yield np.abs(view.astype(int) - np.asarray(theirs)).max(axis=2), terms(*sampled)


@pytest.mark.parametrize(("name", "arguments"), [("randaugment", {}), *[
    ("autoaugment", {"policy": p.value}) for p in AutoAugmentPolicy]])  # fmt: skip
def test_sampled_ops_replayed_with_torchvision_give_the_same_image(picture, name, arguments):
    apart = np.array([a.mean() for a, _ in replayed(STRATEGIES[name](**arguments, flip=0.0), picture, 300)])
    # 8-bit images are rounded after the first op. That can move a value across a threshold, or change the integer step
    # of Pillow's equalize (pixels // 255: 3 or 4 at this size).
    assert apart.mean() < 0.75 and (apart < 1).mean() > 0.8 and (apart > 4).mean() < 0.02


def statistics(views):
    """(7, n) of uint8 (n, S, S, 3): channel means, standard deviation, share of black pixels, mean gradients."""
    x = views.astype(np.float32)
    across, down = (np.abs(np.diff(x, axis=axis)).mean((1, 2, 3)) for axis in (2, 1))
    black = (x.max(axis=3) < 1).mean((1, 2)) * 255
    return np.stack([*x.mean((1, 2)).T, x.std((1, 2, 3)), black, across, down])


def same_distribution(ours, theirs):
    """A two-sample Kolmogorov-Smirnov test on each statistic, which tolerates a shift of up to one level.

    The tolerance is needed because Pillow rounds between ops and we do not. The critical distance is that of the test's
    limiting distribution, Bonferroni-corrected for seven statistics.
    """
    n, level = len(ours), 1.0
    allowed = math.sqrt(math.log(2 * 7 / UNLIKELY) / 2 * (1 / n + 1 / len(theirs)))
    found = []
    for a, b in zip(np.sort(statistics(ours)), np.sort(statistics(theirs)), strict=True):
        at = np.concatenate([a, b])
        below = [[np.searchsorted(x, at + d, "right") / len(x) for d in (0.0, level)] for x in (a, b)]
        found += [(below[0][0] - below[1][1]).max(), (below[1][0] - below[0][1]).max()]
    return max(found) <= allowed


def theirs_on(picture, transform, n):
    manual_seed(0)
    return np.stack([np.asarray(transform(Image.fromarray(picture))) for _ in range(n)])


@pytest.mark.parametrize(("name", "arguments", "transform"), [
    ("randaugment", {}, RandAugment()),
    ("randaugment", {"num_ops": 3, "magnitude": 17}, RandAugment(3, 17)),
    ("autoaugment", {}, AutoAugment()),
    ("autoaugment", {"policy": "cifar10"}, AutoAugment(AutoAugmentPolicy.CIFAR10)),
    ("autoaugment", {"policy": "svhn"}, AutoAugment(AutoAugmentPolicy.SVHN)),
    ("trivialaugment", {}, TrivialAugmentWide()),
])  # fmt: skip
def test_images_of_a_policy_have_the_distribution_of_torchvisions_class(picture, name, arguments, transform):
    ours = render(STRATEGIES[name](**arguments, flip=0.0), picture, 1000, seed=1)
    assert same_distribution(ours, theirs_on(picture, transform, 1000))


def test_the_comparison_of_distributions_distinguishes_magnitudes_9_and_11(picture):
    ours = render(STRATEGIES["randaugment"](2, 9, flip=0.0), picture, 1000, seed=1)
    assert not same_distribution(ours, theirs_on(picture, RandAugment(2, 11), 1000))
    assert not same_distribution(ours, theirs_on(picture, RandAugment(1, 9), 1000))


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


def cutout(image, share, rng):
    side = share * SIDE
    left, top = (int(max(0, rng.uniform(0, SIDE) - side / 2)) for _ in range(2))
    image = image.copy()
    ImageDraw.Draw(image).rectangle((left, top, min(SIDE, left + side), min(SIDE, top + side)), (125, 123, 114))
    return image


PILLOW = {
    "ShearX": lambda i, v, r: affine(i, 1, v, 0, 0, 1, 0),
    "ShearY": lambda i, v, r: affine(i, 1, 0, 0, v, 1, 0),
    "TranslateX": lambda i, v, r: affine(i, 1, 0, v * SIDE, 0, 1, 0),
    "TranslateY": lambda i, v, r: affine(i, 1, 0, 0, 0, 1, v * SIDE),
    "Rotate": lambda i, v, r: i.rotate(v),
    "AutoContrast": lambda i, v, r: ImageOps.autocontrast(i),
    "Invert": lambda i, v, r: ImageOps.invert(i),
    "Equalize": lambda i, v, r: ImageOps.equalize(i),
    "Solarize": lambda i, v, r: ImageOps.solarize(i, v),
    "Posterize": lambda i, v, r: ImageOps.posterize(i, int(v)),
    "Contrast": lambda i, v, r: ImageEnhance.Contrast(i).enhance(v),
    "Color": lambda i, v, r: ImageEnhance.Color(i).enhance(v),
    "Brightness": lambda i, v, r: ImageEnhance.Brightness(i).enhance(v),
    "Sharpness": lambda i, v, r: ImageEnhance.Sharpness(i).enhance(v),
    "Cutout": cutout,
}


def pillow_fast_autoaugment(picture, policy, n):
    """Fast AutoAugment on Pillow images, from the paper and the published policies."""
    rng, views = np.random.default_rng(0), []
    pairs, ranges = published()["policies"][policy], published()["ranges"]
    for _ in range(n):
        image = Image.fromarray(picture)
        for name, p, magnitude in pairs[rng.integers(len(pairs))]:
            low, high = ranges[name]
            value = (low + (high - low) * magnitude) * (rng.choice((-1, 1)) if name in WARPS else 1)
            image = PILLOW[name](image, value, rng) if rng.random() <= p else image
        views.append(np.asarray(image))
    return np.stack(views)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_images_of_fast_autoaugment_have_the_distribution_of_pillows(picture, policy):
    ours = render(STRATEGIES["fastautoaugment"](policy, flip=0.0), picture, 2000)
    assert same_distribution(ours, pillow_fast_autoaugment(picture, policy, 2000))
    other = "svhn" if policy != "svhn" else "cifar10"
    assert not same_distribution(ours, render(STRATEGIES["fastautoaugment"](other, flip=0.0), picture, 2000, seed=1))


# --- recipes, with the numbers of their papers

STRONG, BYOL, WEAK, MILD = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1), (0.4, 0.4, 0.4, 0.1), (0.32, 0.32, 0.16, 0.02)


def chain(blur, solarize=0.0):
    return {"flip": 0.5, "jitter": 0.8, "gray": 0.2, "blur": blur, "solarize": solarize}


FIRST, SECOND = chain(1.0), chain(0.1, 0.2)
MOCO_V1 = {"gray": 0.2, "jitter": 1.0, "flip": 0.5}
RECIPES = [  # name, variant or "local", smallest crop area, jitter strengths, probabilities in the order of the ops
    ("simclr", 0, 0.08, STRONG, chain(0.5)),
    ("simclr32", 0, 0.08, WEAK, chain(0.0)),
    ("byol", 0, 0.08, BYOL, FIRST),
    ("byol", 1, 0.08, BYOL, SECOND),
    ("byol32", 0, 0.08, BYOL, chain(0.0)),
    ("byol32", 1, 0.08, BYOL, chain(0.0, 0.2)),
    ("moco_v1", 0, 0.2, (0.4, 0.4, 0.4, 0.4), MOCO_V1),
    ("moco_v2", 0, 0.2, WEAK, chain(0.5)),
    ("moco_v3", 0, 0.2, BYOL, FIRST),
    ("moco_v3", 1, 0.2, BYOL, SECOND),
    ("moco32", 0, 0.08, WEAK, chain(0.5)),
    ("swav", 0, 0.14, STRONG, chain(0.5)),
    ("swav", "local", (0.05, 0.14), STRONG, chain(0.5)),
    ("dino", 0, 0.4, BYOL, FIRST),
    ("dino", 1, 0.4, BYOL, SECOND),
    ("dino", "local", (0.05, 0.4), BYOL, chain(0.5)),
    ("barlow", 0, 0.08, BYOL, FIRST),
    ("barlow", 1, 0.08, BYOL, SECOND),
    ("vicreg", 0, 0.08, BYOL, FIRST),
    ("vicreg", 1, 0.08, BYOL, SECOND),
    ("vicreg32", 0, 0.2, BYOL, chain(0.0, 0.1)),
    ("mae", 0, 0.2, None, {"flip": 0.5}),
    ("massrl_tf_simclr", 0, None, MILD, chain(1.0)),
]
JITTER = (codes.BRIGHTNESS, codes.CONTRAST, codes.SATURATION, codes.HUE)
STEPS = {
    "flip": [codes.FLIP],
    "jitter": JITTER,
    "gray": [codes.GRAYSCALE],
    "blur": [codes.BLUR],
    "solarize": [codes.SOLARIZE],
}


@pytest.mark.parametrize(("name", "variant", "area", "jitter", "probabilities"), RECIPES)
def test_a_recipe_samples_its_ops_with_their_probabilities_in_order(name, variant, area, jitter, probabilities):
    made, n = STRATEGIES[name](), 4000
    local = variant == "local"
    op, numbers = sample_ops(made, n, **({"role": "local"} if local else {"variant": variant}))
    if area is not None:
        assert (made.local_crop if local else made.crop).scale == (area if local else (area, 1.0))
    order = np.full(op.shape, np.inf)
    for at, (step, p) in enumerate(probabilities.items()):
        here = np.isin(op, STEPS[step])
        order[here] = at
        assert binomtest(int(here.any(axis=1).sum()), n, p).pvalue > UNLIKELY, step
    assert (np.isinf(order) == (op == codes.END)).all()  # no other op is sampled
    assert (order[:, :-1] <= order[:, 1:]).all()
    for code, strength in zip(JITTER, jitter or (), strict=False):
        value, middle = numbers[op == code][:, 0], 0.0 if code == codes.HUE else 1.0
        assert abs(value - middle).max() <= strength + 1e-6
        # the extremes of thousands of samples are within 1 % of the ends of the interval
        ends = [value.min() - middle + strength, middle + strength - value.max()]
        assert max(ends) < 0.02 * strength, code
    sigma = numbers[op == codes.BLUR][:, 0]
    assert ((sigma >= 0.1) & (sigma <= 2.0)).all() and (numbers[op == codes.SOLARIZE][:, 0] == 128).all()


def test_3_augment_samples_grayscale_solarize_or_blur_then_jitter_without_hue():
    op, numbers = sample_ops(STRATEGIES["three_augment"](), 6000)
    one = {"gray": codes.GRAYSCALE, "solarize": codes.SOLARIZE, "blur": codes.BLUR}
    there = np.stack([(op == code).any(axis=1) for code in one.values()])
    assert (there.sum(axis=0) == 1).all() and chisquare(there.sum(axis=1)).pvalue > UNLIKELY
    for code in JITTER[:3]:
        value = numbers[op == code][:, 0]
        assert len(value) == 6000 and 0.7 <= value.min() < 0.71 and 1.29 < value.max() <= 1.3
    assert not (op == codes.HUE).any()


def test_the_extended_randaugment_samples_twenty_ops_uniformly():
    op, numbers = sample_ops(STRATEGIES["randaugment"](1, 9, ops="extended", flip=0.0), 20000)
    code = np.where(op[:, 0] == codes.ROUND, op[:, 1], op[:, 0])
    shares = dict.fromkeys([*JITTER[:3]], 2) | {codes.WARP: 5}
    alone = (
        codes.HUE,
        codes.BLUR,
        codes.GRAYSCALE,
        codes.SHARPNESS,
        codes.POSTERIZE,
        codes.SOLARIZE,
        codes.AUTOCONTRAST,
    )
    shares |= dict.fromkeys([*alone, codes.EQUALIZE, codes.END], 1)
    assert sum(shares.values()) == 20 and set(code) == set(shares)
    assert chisquare([(code == c).sum() for c in shares], np.array([*shares.values()]) * 1000).pvalue > UNLIKELY
    for c in JITTER[:3]:  # torchvision's 1 - 0.27 and 1 + 0.27, and a jitter of 0.24
        apart = abs(numbers[code == c][:, 0, 0] - 1)
        assert ((abs(apart - 0.27) < 1e-6) | (apart <= 0.24 + 1e-6)).all()
        assert binomtest(int((apart > 0.25).sum()), len(apart), 0.5).pvalue > UNLIKELY
    hue, blur = numbers[code == codes.HUE][:, 0, 0], numbers[code == codes.BLUR][:, 0]
    assert 0.14 < abs(hue).max() <= 0.15 and (blur[:, 1] == 1).all()  # a kernel of three pixels
    a, b, tx, c, d, ty = numbers[code == codes.WARP][:, 0, :6].T
    sheared = (a == 1) & (d == 1) & ((b != 0) | (c != 0))
    np.testing.assert_allclose(tx[sheared], -b[sheared] * SIDE / 2, atol=1e-5)  # about the centre
    np.testing.assert_allclose(ty[sheared], -c[sheared] * SIDE / 2, atol=1e-5)


def test_autoaugment_of_massrls_tensorflow_code_follows_its_simclr():
    below, above = (sample_ops(STRATEGIES[name](), 500)[0] for name in ("massrl_tf_simclr", "massrl_tf_autoaugment"))
    last = (below != codes.END).sum(axis=1)
    np.testing.assert_array_equal(below[:, :6], np.where(np.arange(6) < last[:, None], above[:, :6], codes.END))
    assert ((above != codes.END).sum(axis=1) > last).mean() > 0.5


def test_simclr_accepts_the_numbers_of_massrls_code():
    made = STRATEGIES["simclr"](jitter=(0.4, 0.4, 0.2, 0.1), blur=1.0, solarize=0.2, crop="UniformCrop")
    op, numbers = sample_ops(made, 4000)
    assert (op == codes.BLUR).any(axis=1).all() and abs(numbers[op == codes.HUE][:, 0]).max() <= 0.1
    assert binomtest(int((op == codes.SOLARIZE).any(axis=1).sum()), 4000, 0.2).pvalue > UNLIKELY
    assert made.crop.ratio == (0.5, 1.0)


def test_the_strategy_none_is_the_unchanged_image(picture):
    made = STRATEGIES["none"]()
    assert isinstance(made.crop, Resize) and made.variants == [[]]
    np.testing.assert_array_equal(render(made, picture, 1)[0], picture)


@pytest.mark.parametrize("written", [
    {"class_path": "randaugment", "init_args": {"num_ops": 3, "magnitude": 5, "ops": "extended"}},
    {"class_path": "autoaugment", "init_args": {"policy": "svhn", "flip": 0.0}},
    {"class_path": "fastautoaugment", "init_args": {"policy": "cifar10"}},
    {"class_path": "simclr", "init_args": {"jitter": [0.4, 0.4, 0.2, 0.1], "crop": "UniformCrop"}},
    {"class_path": "trivialaugment", "init_args": {"flip": 0.0}},
])  # fmt: skip
def test_a_strategy_with_arguments_survives_a_round_trip_through_a_config(written):
    made = strategy(written)
    assert made.to_config() == written
    for mine, again in zip(sample_ops(made, 50), sample_ops(strategy(made.to_config()), 50), strict=True):
        np.testing.assert_array_equal(mine, again)


@pytest.mark.parametrize(("name", "arguments", "words"), [
    ("autoaugment", {"policy": "imagnet"}, "autoaugment: policy is 'imagnet'. Did you mean 'imagenet'?"),
    ("fastautoaugment", {"policy": "cifar100"}, "Did you mean 'cifar10'?"),
    ("massrl_tf_autoaugment", {"policy": None}, "choose one of imagenet, cifar10, svhn"),
    ("randaugment", {"ops": "extend"}, "randaugment: ops is 'extend'. Did you mean 'extended'?"),
    ("randaugment", {"magnitude": 31}, "magnitude is 31; it must be an integer from 0 to 30"),
    ("randaugment", {"magnitude": 9.5}, "magnitude is 9.5"),
    ("randaugment", {"num_ops": 0}, "num_ops is 0; it must be an integer from 1 to 16"),
    ("randaugment", {"flip": 1.5}, "HorizontalFlip: p is 1.5"),
    ("trivialaugment", {"size": 96}, "trivialaugment has no argument 'size'"),
    ("randaugment", {"magnitude": True}, "magnitude is True"),
    ("randaugment", {"magnitude": "9"}, "magnitude is '9'"),
    ("three_augment", {"jitter": None}, "brightness is None"),
    ("simclr", {"jitter": 0.5}, "jitter is 0.5; it must be four numbers"),
    ("simclr", {"jitter": "0.5"}, "jitter is '0.5'; it must be four numbers"),
    ("simclr", {"blur": None}, "GaussianBlur: p is None"),
    ("simclr", {"jitter": (0.4, 0.4)}, "jitter is .0.4, 0.4.; it must be four numbers"),
    ("simclr", {"blur": 2.0}, "GaussianBlur: p is 2.0"),
    ("simclr", {"strength": 0.5}, "simclr has no argument 'strength'"),
    ("moco_v3", {"crop_min": 2.0}, "scale"),
])  # fmt: skip
def test_wrong_arguments_of_a_strategy_are_refused_with_a_message(name, arguments, words):
    with pytest.raises(ViewError, match=words.replace("?", "[?]")):
        strategy({"class_path": name, "init_args": arguments})
