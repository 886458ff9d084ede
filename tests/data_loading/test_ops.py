"""Each op's kernel equals its NumPy reference; beside other libraries: test_ops_parity.py."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from data_loading.kernel.simd import LANES
from data_loading.ops import (
    OPS,
    Choose,
    Normalize,
    Op,
    OwnOp,
    affine,
    autocontrast,
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
    posterize,
    round,
    sharpness,
    solarize,
    thickness,
    vertical_flip,
    warp,
)
from data_loading.ops.step import OWN, STEPS, step
from rendering import codes, run_steps

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
    (codes.FLIP, (), flip.reference),
    (codes.BRIGHTNESS, (0.0,), color_jitter.reference_brightness),
    (codes.BRIGHTNESS, (1.7,), color_jitter.reference_brightness),
    (codes.CONTRAST, (0.3,), color_jitter.reference_contrast),
    (codes.CONTRAST, (0.0,), color_jitter.reference_contrast),
    (codes.SATURATION, (1.6,), color_jitter.reference_saturation),
    (codes.HUE, (-0.37,), color_jitter.reference_hue),
    (codes.HUE, (-0.5,), color_jitter.reference_hue),
    (codes.HUE, (0.5,), color_jitter.reference_hue),
    (codes.GRAYSCALE, (), grayscale.reference),
    (codes.BLUR, (1.3, 4), blur.reference),
    (codes.BLUR, (9.0, 27), blur.reference),  # the radius is cut to the side
    *((codes.SOLARIZE, (t,), solarize.reference) for t in (0.0, 128.0, 256.0)),
    (codes.AFFINE, (0.9, -0.3, 0.1, 0.2, 1.1, -0.2), affine.reference),
    *((codes.THICKNESS, (w,), thickness.reference) for w in (-1.0, -0.4, 0.0, 0.5, 1.0)),
    *((codes.GAMMA, numbers, gamma.reference) for numbers in ((0.6, 1.2), (0.05, 100.0), (20.0, 0.01))),
    (codes.ERASING, (0.1, 0.3, 0.5, 0.4, 9.0, 99.0, 200.0), erasing.reference),
    (codes.ERASING, (0.0, 0.0, 1.0, 1.0, 9.0, 99.0, 200.0), erasing.reference),
    (codes.ROUND, (), round.reference),
    (codes.INVERT, (), invert.reference),
    *((codes.POSTERIZE, (bits,), posterize.reference) for bits in range(9)),
    (codes.VERTICAL_FLIP, (), vertical_flip.reference),
    (codes.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 0, 77), warp.reference),
    (codes.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 1, 77), warp.reference),
    *((codes.SHARPNESS, (factor,), sharpness.reference) for factor in (0.0, 0.2, 1.9, 20.0)),
    (codes.EQUALIZE, (), equalize.reference),
    (codes.AUTOCONTRAST, (), autocontrast.reference),
]


def test_every_step_has_a_test_against_its_reference():
    with_keys = {codes.ELASTIC, codes.NOISE}  # in tests of their own below
    assert {code for code, *_ in REFERENCE} | with_keys == {code for code in STEPS if code < OWN}


@pytest.mark.parametrize(("code", "args", "reference"), REFERENCE)
@pytest.mark.parametrize("side", [SIDE, 48])
def test_a_kernel_equals_its_numpy_reference(code, args, reference, side):
    args, plane = tuple(float(F32(a)) for a in args), image(side=side)
    tolerance = BLURRED if code == codes.BLUR else LEVEL
    np.testing.assert_allclose(run(code, args, plane=plane), reference(plane, *args), atol=tolerance)


@pytest.mark.parametrize("sigma", [0.19, 0.2, 0.203, 0.206, 0.21, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_a_blur_leaves_an_even_image_as_it_is(sigma, level):
    plane = np.full((3, 130, 130), level, F32)
    radius = np.ceil(3 * sigma)
    np.testing.assert_allclose(run(codes.BLUR, (sigma, radius), plane=plane), plane, atol=(radius + 2) / 128)


@pytest.mark.parametrize("level", [0.0, 128.0, 255.0])
def test_ops_on_one_flat_colour_stay_finite_and_in_range(level):
    plane = np.full((3, 8, 8), level, F32)
    for code, args, _ in REFERENCE:
        out = run(code, args, plane=plane)
        rounding = 1e-3  # weights of a blur sum to 1 within float32
        assert np.isfinite(out).all() and out.min() >= -rounding and out.max() <= 255 + rounding, code


def test_solarize_inverts_at_the_threshold_and_above():
    plane = np.broadcast_to(np.array([127.0, 128.0, 129.0], F32), (3, 3, 3))
    assert run(codes.SOLARIZE, (128.0,), plane=plane)[0, 0].tolist() == [127, 127, 126]


def test_affine_equals_torch_grid_sample():
    matrix = np.array([0.8, -0.4, 0.15, 0.3, 1.2, -0.1], F32)
    grid = torch.nn.functional.affine_grid(
        torch.from_numpy(matrix.reshape(1, 2, 3)), (1, 3, SIDE, SIDE), align_corners=False
    )
    theirs = torch.nn.functional.grid_sample(torch.from_numpy(image())[None], grid, align_corners=False)[0]
    np.testing.assert_allclose(
        run(codes.AFFINE, matrix), theirs.numpy(), atol=0.1
    )  # float32 positions of up to 23 pixels


def test_elastic_displaces_by_a_bicubic_field():
    key, sigma = (123, 456), 0.2
    out = run(codes.ELASTIC, (sigma,), words=[(1, key[0]), (2, key[1])])
    np.testing.assert_allclose(out, elastic.reference(image(), sigma, *key), atol=0.1)


def test_affine_then_elastic_is_one_resampling_of_the_composed_maps():
    key, matrix = (123, 456), (0.9, -0.3, 0.1, 0.2, 1.1, -0.2)
    out = run(codes.ELASTIC, (0.1,), words=[(1, key[0]), (2, key[1])], before=(codes.AFFINE, matrix))
    np.testing.assert_allclose(out, elastic.reference(image(), 0.1, *key, *matrix), atol=0.1)  # float32 positions


def test_noise_is_the_keyed_normal_noise_of_its_reference():
    out = run(codes.NOISE, (12.0,), words=[(1, 99), (2, 7)])
    np.testing.assert_allclose(out, noise.reference(image(), 12.0, 99, 7), atol=LEVEL)
    flat = np.full((3, 64, 64), 128, F32)
    added = run(codes.NOISE, (10.0,), words=[(1, 1), (2, 2)], plane=flat) - 128
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


def test_the_codes_of_steps_are_those_that_saved_plans_hold():
    names = (
        "flip brightness contrast saturation hue grayscale blur solarize affine elastic thickness gamma erasing noise "
    )
    names += "round invert posterize vertical_flip warp sharpness equalize autocontrast"
    assert [code for code in sorted(STEPS) if code < OWN] == list(range(1, 23))
    assert [STEPS[code].name for code in range(1, 23)] == names.split()


def test_the_codes_of_ops_differ_unless_they_write_their_own_step():
    kinds = [kind for _, kind in OPS.items() if issubclass(kind, Op) and not issubclass(kind, OwnOp)]
    rules = [kind.rule for kind in kinds]
    assert len(set(rules)) == len(rules) and all(rule in STEPS or 32 <= rule < OWN for rule in rules)
    assert {code for kind in kinds if kind is not Choose for code in kind().writes} - set(STEPS) <= {
        color_jitter.COLOR_JITTER
    }


@pytest.mark.parametrize(
    ("code", "name", "more", "expected"),
    [
        (codes.BLUR, "new", {}, "the code 7, but 'blur' has 7; 23 is free"),
        (23, "blur", {}, "'blur' has 7; 23 is free"),
        (23, "new", {"numbers": ("a",) * 9}, "has 9 numbers; a step has at most 8"),
        (23, "new", {"on_rows": True, "image_kernel": print}, "give it one of them"),
    ],
)
def test_a_record_that_contradicts_another_or_itself_is_refused(code, name, more, expected):
    before = dict(STEPS)
    with pytest.raises(ValueError, match=expected):
        step(code, name, **more)
    assert STEPS == before


def test_the_code_that_is_proposed_is_the_least_free_one_and_none_where_all_are_taken(monkeypatch):
    monkeypatch.delitem(STEPS, 5)
    monkeypatch.setitem(STEPS, 31, STEPS[7])
    with pytest.raises(ValueError, match="; 5 is free"):
        step(codes.BLUR, "new")
    for code in range(1, 32):
        monkeypatch.setitem(STEPS, code, STEPS[7])
    with pytest.raises(ValueError, match="; all codes from 1 to 31 are taken"):
        step(codes.BLUR, "new")


def test_every_op_has_a_summary_and_annotated_arguments():
    import inspect

    for name, op in OPS.items():
        assert OPS.summary(name).endswith("."), name
        for argument in list(inspect.signature(op.__init__).parameters.values())[1:]:
            named = argument.kind is not inspect.Parameter.VAR_KEYWORD  # **common: those of Op or Crop
            assert not named or argument.annotation is not inspect.Parameter.empty, f"{name}({argument.name})"
