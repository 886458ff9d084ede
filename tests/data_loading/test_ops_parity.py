"""Ops beside Pillow, torchvision and OpenCV on the same numbers: random and real images, extreme parameters.

Tolerances are the design's: continuous ops within 1 level; ops with thresholds or nearest pixels (case.jumps) in at
least 99.9 % of pixels. A peer that does something else by design (case.differs) is not compared.
"""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from data_loading.bench.op_cases import PILLOW, TORCHVISION, cases
from data_loading.bench.op_cases.case import case as make
from data_loading.ops import OPS, GaussianBlur, Posterize, Rotate, Solarize, Translate
from data_loading.ops.crop import Crop
from helpers import test_data
from rendering import codes

SIDES = (64, 37)  # even and odd, a multiple of a vector's 16 lanes and not
CASES = [case for side in SIDES for case in cases(side)]
EVEN = [case for case in CASES if case.side == SIDES[0]]
FLOATS = 0.15  # levels: on floats nothing is rounded but the weights of a resize, to 16 bits (see resize.py)


def name(case):
    return f"{case.name} at {case.side}"


def random_images(side, n=2):
    rng = np.random.default_rng(side)
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (-(-side // 5), -(-side // 5), 3), dtype=np.uint8), 5, 0), 5, 1)
    flat = np.full((side, side, 3), 200, np.uint8)
    noisy = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for _ in range(n)]
    return [*noisy, np.ascontiguousarray(smooth[:side, :side]), flat]


def photographs(*folder, n=4):
    files = sorted(test_data("data", *folder).rglob("*.JPEG")) or sorted(test_data("data", *folder).rglob("*.jpg"))
    assert len(files) >= n
    return [np.array(Image.open(path).convert("RGB")) for path in files[:: len(files) // n][:n]]


def squares(images, side):
    return [np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in images]


def assert_close(ours, theirs, jumps, what, tolerance=1):
    apart = np.abs(ours.astype(np.float64) - theirs)
    if jumps:
        share = (apart.max(axis=-1) <= 1).mean()
        assert share >= 0.999, f"{what}: {share:.4%} of pixels are within one level"
    else:
        assert apart.max() <= tolerance, f"{what}: {apart.max():.3f} levels apart"


def compare(case, images):
    """On uint8, with all peers of a case."""
    ours = case.ours()
    for image in images:
        out = ours(image)
        for peer in set(case.peers) - set(case.differs):
            assert_close(out, case.peers[peer](image), case.jumps, f"{case.name}, {peer}")


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_op_equals_its_peers_on_drawn_images(case):
    compare(case, random_images(case.side))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_an_op_equals_its_peers_on_photographs(case):
    compare(case, squares(photographs("imagenette224"), case.side))


@pytest.mark.parametrize("case", EVEN, ids=name)
def test_an_op_equals_its_peers_on_small_photographs(case):
    images = photographs("tiny_imagenet")
    assert all(image.shape == (64, 64, 3) for image in images)
    compare(case, images)


LEVELS = ("HorizontalFlip", "VerticalFlip", "Invert", "Solarize", "Posterize", "Equalize", "AutoContrast", "Erasing",
          "Cutout", "Rotate", "Shear", "Translate")  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if c.op in LEVELS and PILLOW not in c.differs], ids=name)
def test_an_op_of_whole_levels_is_pillows_to_the_bit(case):
    ours = case.ours()
    for image in random_images(case.side):
        np.testing.assert_array_equal(ours(image), case.peers[PILLOW](image))


@pytest.mark.parametrize("case", [case for case in EVEN if case.tensor], ids=name)
def test_an_op_equals_torchvision_on_float_tensors(case):
    """Which torchvision does not round between steps, as we do not."""
    ours = case.ours("float32")
    for image in random_images(case.side):
        theirs = case.tensor(torch.from_numpy(image).permute(2, 0, 1) / 255).permute(1, 2, 0).numpy() * 255
        assert_close(ours(image), theirs, case.jumps, case.name, FLOATS)


CROPS = [case for case in EVEN if issubclass(OPS[case.op], Crop) and case.op != "PadCrop"]  # where peers resize first


@pytest.mark.parametrize("case", CROPS, ids=name)
def test_a_crop_equals_its_peers_on_images_of_any_shape(case):
    rng = np.random.default_rng(0)
    compare(case, [rng.integers(64, 192, (*shape, 3), dtype=np.uint8) for shape in ((70, 151), (300, 90), (40, 50))])
    compare(case, photographs("imagenette224"))


def test_every_op_that_a_peer_has_is_compared():
    # Policies; in test_ops.py; nothing that a peer has as an op; and what has tests beside its peers of its own.
    elsewhere = {"Choose", "Normalize", "Round", "Mixup", "CutMix", "Shift", "Pad"}
    ours = {kind for kind, op in OPS.items() if op.__module__.startswith("data_loading.")}
    assert {case.op for case in EVEN} == ours - elsewhere
    for case in CASES:
        assert case.peers and set(case.differs) <= set(case.peers), case.name


EXTREMES = [
    ("brightness", codes.BRIGHTNESS, (0.0, 1.0, 100.0), lambda t, f: tv.adjust_brightness(t, f)),
    ("contrast", codes.CONTRAST, (0.0, 1.0, 3.0, 100.0), lambda t, f: tv.adjust_contrast(t, f)),
    ("saturation", codes.SATURATION, (0.0, 1.0, 3.0, 100.0), lambda t, f: tv.adjust_saturation(t, f)),
    ("sharpness", codes.SHARPNESS, (0.0, 1.0, 3.0, 20.0), lambda t, f: tv.adjust_sharpness(t, f)),
    ("hue", codes.HUE, (-0.5, -0.001, 0.0, 0.5), lambda t, f: tv.adjust_hue(t, f)),
    ("gamma", codes.GAMMA, (0.05, 1.0, 20.0), lambda t, f: tv.adjust_gamma(t, f, 1.0)),
]


@pytest.mark.parametrize(("what", "code", "factors", "theirs"), EXTREMES, ids=[e[0] for e in EXTREMES])
@pytest.mark.parametrize("side", SIDES)
def test_extreme_factors_equal_torchvision_on_floats(what, code, factors, theirs, side):
    for factor in factors:
        numbers = (factor, 1.0) if code == codes.GAMMA else (factor,)
        one = make(what, what, side, tensor=lambda t, f=factor: theirs(t, f), written=((code, numbers),))
        for image in random_images(side):
            expected = one.tensor(torch.from_numpy(image).permute(2, 0, 1) / 255).permute(1, 2, 0).numpy() * 255
            assert_close(one.ours("float32")(image), expected, False, f"{what} {factor}", FLOATS)


@pytest.mark.parametrize("threshold", [0, 1, 127.5, 254.5, 255, 256])
def test_solarize_at_any_threshold_is_pillows(threshold):
    ours = make("solarize", Solarize(threshold), 64).ours()
    for image in random_images(64):
        np.testing.assert_array_equal(ours(image), np.asarray(ImageOps.solarize(Image.fromarray(image), threshold)))


def test_posterize_to_no_bits_is_black():
    assert not make("posterize", Posterize(0), 37).ours()(random_images(37)[0]).any()


@pytest.mark.parametrize("side", [8, 9, 64, 65])
@pytest.mark.parametrize("degrees", [-360, -270, -180, -90, 0, 90, 180, 270, 360])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_a_rotation_by_right_angles_is_exact(side, degrees, interpolation):
    image = random_images(side)[0]
    out = make("rotate", Rotate(degrees, interpolation=interpolation), side).ours()(image)
    turned = np.rot90(image, degrees // 90)
    np.testing.assert_array_equal(out, turned)
    np.testing.assert_array_equal(out, np.asarray(Image.fromarray(image).rotate(degrees)))


@pytest.mark.parametrize("side", [8, 9, 64, 65])
@pytest.mark.parametrize("degrees", [-179.0, -45.0, -30.0, -0.5, 0.1, 13.7, 60.0, 123.4])
def test_a_rotation_is_pillows_on_odd_and_even_sides(side, degrees):
    ours = make("rotate", Rotate(degrees, fill=33), side).ours()
    for image in random_images(side):
        theirs = np.asarray(Image.fromarray(image).rotate(degrees, fillcolor=(33,) * 3))
        assert_close(ours(image), theirs, True, f"rotate {degrees}")


@pytest.mark.parametrize("fraction", [-1.0, -0.999, 0.0, 0.013, 1.0])
@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_translation_is_pillows(fraction, axis):
    side = 64
    image, pixels = random_images(side)[0], fraction * side
    linear = (1, 0, -pixels * (axis == "x"), 0, 1, -pixels * (axis == "y"))
    theirs = Image.fromarray(image).transform((side, side), Image.Transform.AFFINE, linear)
    ours = make("translate", Translate(fraction, axis), side).ours()(image)
    np.testing.assert_array_equal(ours, np.asarray(theirs))
    if abs(fraction) == 1:
        assert not ours.any()


@pytest.mark.parametrize(("sigma", "kernel"), [(0.1, None), (0.3, 3), (10.0, 3), (10.0, 23), (5.0, 1), (10.0, None)])
def test_a_blur_of_any_kernel_size_is_torchvisions(sigma, kernel):
    side, k = 64, kernel or 2 * int(np.ceil(3 * sigma)) + 1
    ours = make("blur", GaussianBlur((sigma, sigma), kernel_size=kernel), side).ours("float32")
    for image in random_images(side):
        theirs = tv.gaussian_blur(torch.from_numpy(image).permute(2, 0, 1) / 255, k, sigma)
        assert_close(ours(image), theirs.permute(1, 2, 0).numpy() * 255, False, f"blur {sigma} {kernel}")


def test_the_difference_from_pillows_blur_is_what_the_docstring_says():
    images = photographs("imagenette224", n=8)
    for one in (c for c in cases(224) if c.name in ("blur 0.5", "blur 1.0", "blur 2.0")):
        apart = one.differences(squares(images, 224))
        # Half and twice of what 200 photographs gave, for these are eight.
        assert 0.15 <= apart[PILLOW].mean <= 1.2 and 8 <= apart[PILLOW].max <= 80, one.name
        assert apart[TORCHVISION].max <= 1, one.name


def test_sharpness_of_nothing_is_pillows_smooth_filter():
    image = random_images(37)[0]
    smooth = np.asarray(Image.fromarray(image).filter(ImageFilter.SMOOTH))
    ours = make("sharpness", "Sharpness", 37, written=((codes.SHARPNESS, (0.0,)),)).ours()(image)
    np.testing.assert_array_equal(ours, smooth)  # both round halves up
    assert_close(ours, np.asarray(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(0.0)), False, "sharpness")


def test_differences_are_means_and_maxima_over_all_images():
    one = make("brightness", "Brightness", 8, lambda i: i, written=((codes.BRIGHTNESS, (2.0,)),))
    images = [np.full((8, 8, 3), level, np.uint8) for level in (1, 3)]  # doubled; the peer leaves them as they are
    assert one.differences(images) == {PILLOW: (2.0, 3, 0.5)}
    assert TORCHVISION not in one.peers
