"""Each op's kernel equals its NumPy reference; beside other libraries: test_ops_parity.py."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from data_loading.kernel.simd import LANES
from data_loading.ops import (
    OPS,
    Normalize,
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
    posterize,
    round,
    sharpness,
    solarize,
    thickness,
    vertical_flip,
    warp,
)
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
    (base.BRIGHTNESS, (0.0,), color_jitter.reference_brightness),
    (base.BRIGHTNESS, (1.7,), color_jitter.reference_brightness),
    (base.CONTRAST, (0.3,), color_jitter.reference_contrast),
    (base.CONTRAST, (0.0,), color_jitter.reference_contrast),
    (base.SATURATION, (1.6,), color_jitter.reference_saturation),
    (base.HUE, (-0.37,), color_jitter.reference_hue),
    (base.HUE, (-0.5,), color_jitter.reference_hue),
    (base.HUE, (0.5,), color_jitter.reference_hue),
    (base.GRAYSCALE, (), grayscale.reference),
    (base.BLUR, (1.3, 4), blur.reference),
    (base.BLUR, (9.0, 27), blur.reference),  # the radius is cut to the side
    *((base.SOLARIZE, (t,), solarize.reference) for t in (0.0, 128.0, 256.0)),
    (base.AFFINE, (0.9, -0.3, 0.1, 0.2, 1.1, -0.2), lambda x, *m: affine.reference(x, m)),
    *((base.THICKNESS, (w,), thickness.reference) for w in (-1.0, -0.4, 0.0, 0.5, 1.0)),
    *((base.GAMMA, numbers, gamma.reference) for numbers in ((0.6, 1.2), (0.05, 100.0), (20.0, 0.01))),
    (base.ERASING, (0.1, 0.3, 0.5, 0.4, 9.0, 99.0, 200.0), erasing.reference),
    (base.ERASING, (0.0, 0.0, 1.0, 1.0, 9.0, 99.0, 200.0), erasing.reference),
    (base.ROUND, (), round.reference),
    (base.INVERT, (), invert.reference),
    *((base.POSTERIZE, (bits,), posterize.reference) for bits in range(9)),
    (base.VERTICAL_FLIP, (), vertical_flip.reference),
    (base.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 0, 77), warp.reference),
    (base.WARP, (0.9, -0.3, 3.1, 0.2, 1.1, -2.2, 1, 77), warp.reference),
    *((base.SHARPNESS, (factor,), sharpness.reference) for factor in (0.0, 0.2, 1.9, 20.0)),
    (base.EQUALIZE, (), equalize.reference),
    (base.AUTOCONTRAST, (), autocontrast.reference),
]


@pytest.mark.parametrize(("code", "args", "reference"), REFERENCE)
@pytest.mark.parametrize("side", [SIDE, 48])
def test_a_kernel_equals_its_numpy_reference(code, args, reference, side):
    args, plane = tuple(float(F32(a)) for a in args), image(side=side)
    tolerance = BLURRED if code == base.BLUR else LEVEL
    np.testing.assert_allclose(run(code, args, plane=plane), reference(plane, *args), atol=tolerance)


@pytest.mark.parametrize("sigma", [0.19, 0.2, 0.203, 0.206, 0.21, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_a_blur_leaves_an_even_image_as_it_is(sigma, level):
    plane = np.full((3, 130, 130), level, F32)
    radius = np.ceil(3 * sigma)
    np.testing.assert_allclose(run(base.BLUR, (sigma, radius), plane=plane), plane, atol=(radius + 2) / 128)


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


def test_every_op_has_a_summary_and_annotated_arguments():
    import inspect

    for name, op in OPS.items():
        assert OPS.summary(name).endswith("."), name
        for argument in list(inspect.signature(op.__init__).parameters.values())[1:]:
            named = argument.kind is not inspect.Parameter.VAR_KEYWORD  # **common: those of Op or Crop
            assert not named or argument.annotation is not inspect.Parameter.empty, f"{name}({argument.name})"
