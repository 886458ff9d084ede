"""Each op's tensor form equals its NumPy reference, on a batch whose samples have different numbers."""

from functools import cache

import numpy as np
import pytest
import torch

from data_loading import Strategy, ViewSet
from data_loading.kernel.rng import philox_numpy, tensor_normals
from data_loading.ops import (
    OPS,
    Affine,
    Choose,
    ColorJitter,
    Elastic,
    Gamma,
    GaussianBlur,
    GaussianNoise,
    Normalize,
    Op,
    OwnOp,
    Posterize,
    Rotate,
    Shear,
    Solarize,
    Translate,
    affine,
    blur,
    elastic,
    normalize,
    program,
    resize,
)
from data_loading.ops.step import OWN, STEPS
from data_loading.render.numba_renderer import Renderer
from data_loading.views.sampling import Drawer
from rendering import codes, run_steps

F32 = np.float32
LEVEL = (
    0.005  # tolerance in levels of 255: float32 against float64 over a few operations; positions of the geometric ops
)
SIDE = 21  # for which numbers are drawn; odd, so that no edge of an erasing lies halfway between pixels of another side
SHAPES = [(20, 20), (21, 21), (18, 25), (1, 1), (2, 5), (3, 1)]
CODES = sorted(code for code in STEPS if code < OWN)
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
# Beside every op as it is made without arguments: those that would do little so.
WIDE = [
    Affine(degrees=180, translate=0.3, scale=(0.5, 2.0), shear=0.5, aspect=0.3),
    ColorJitter(1.0, 1.0, 1.0, 0.5, p=1.0),
    Elastic(0.3),
    Gamma((0.3, 3.0), (0.5, 2.0), p=1.0),
    GaussianBlur((0.1, 9.0), p=1.0),
    GaussianBlur((0.5, 5.0), kernel_size=3, p=1.0),
    Posterize((0.0, 8.0), p=1.0),
    Rotate(interpolation="bilinear", fill=99.0, p=1.0),
    Shear(axis="y", centre=True, fill=77.0, p=1.0),
    Solarize((0.0, 256.0), p=1.0),
    Translate(axis="y", interpolation="bilinear", fill=255.0, p=1.0),
]


@cache
def drawn() -> dict[int, np.ndarray]:
    """Code of a step -> its words (n, ARGS) uint32 as the ops of the registry draw them, ops taking turns."""
    kinds = [op for _, op in OPS.items() if isinstance(op, type) and issubclass(op, Op)]
    ops = [kind(p=1.0) for kind in kinds if kind is not Choose and not issubclass(kind, OwnOp)] + WIDE
    found: dict[int, list[np.ndarray]] = {}
    for sample in range(8):
        for op in ops:
            views = ViewSet([Strategy("one", [[op]])], crops=1, size=SIDE)
            plan = Drawer(views, 0)(0, np.array([sample]), np.array([SIDE]), np.array([SIDE]))
            for code, words in zip(plan.op[0, 0], plan.arg[0, 0], strict=True):
                found.setdefault(int(code), []).append(words)
    return {code: np.stack(rows) for code, rows in found.items()}


def pictures(n, height, width, seed=0):
    """(n, 3, H, W) float32: whole levels and numbers between, an even image, black, white, and a gray one."""
    rng = np.random.default_rng(seed)
    out = rng.uniform(0, 255, (n, 3, height, width)).astype(F32)
    out[::2] = np.round(out[::2])
    for place, special in zip(range(4, n, 3), (77.0, 0.0, 255.0, out[0, :1]), strict=False):
        out[place] = special
    return out


def numbers(code, words, device):
    """The arguments of a tensor form: float (n,), or int64 for a key's word."""
    columns = [(words[:, i], words.view(F32)[:, i]) for i in range(words.shape[1])]
    return [
        torch.from_numpy(word.astype(np.int64) if name == "key" else number.copy()).to(device)
        for name, (word, number) in zip(STEPS[code].numbers, columns, strict=False)
    ]


def by_reference(steps, words, images):
    """Programs of the codes `steps`, words (n, K, ARGS), one by one, in float64."""
    steps, images = np.array(steps, np.uint8), images.astype(float)
    return np.stack([program.reference(steps, w, x) for w, x in zip(words, images, strict=True)])


def test_every_step_has_a_tensor_form():
    missing = {STEPS[code].name for code in CODES if STEPS[code].tensor is None}
    assert not missing, f"give these a `tensor` in the records of their files of ops/: {missing}"


def test_the_ops_of_the_registry_draw_every_step():
    assert set(CODES) - set(drawn()) == set()  # else the next test would leave one out


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("code", CODES, ids=lambda code: STEPS[code].name)
def test_a_tensor_form_equals_the_reference_of_each_sample(code, shape, device):
    words = drawn()[code]
    images = pictures(len(words), *shape)
    before = torch.from_numpy(images.copy()).to(device)
    after = STEPS[code].tensor(before, *numbers(code, words, device))
    assert after.shape == before.shape and after.dtype == torch.float32 and after.device == before.device
    assert np.array_equal(before.cpu().numpy(), images), "the images that were given have changed"
    off = np.abs(after.cpu().numpy() - by_reference([code], words[:, None], images)) > LEVEL
    # Nearest neighbours are chosen at positions of whole 65536ths of a pixel, as Pillow's.
    assert off.mean() <= (1e-3 if code == codes.WARP else 0)


def test_nearest_neighbours_are_the_kernels_pixel_for_pixel():
    rows = [w for w in drawn()[codes.WARP] if w.view(F32)[6] == 0] + [
        np.array([0, -1, 24, 1, 0, 0, 0, 9], F32).view(np.uint32),  # a quarter turn
        np.array([1, 0.3, -2.5, 0, 1, 0, 0, 9], F32).view(np.uint32),  # positions on the borders of pixels
    ]
    images = np.round(pictures(len(rows), 24, 24))
    ours = STEPS[codes.WARP].tensor(torch.from_numpy(images), *numbers(codes.WARP, np.stack(rows), "cpu"))
    for image, out, words in zip(images, ours, rows, strict=True):
        np.testing.assert_array_equal(out, run_steps(image, [(codes.WARP, words.view(F32))]))


@pytest.mark.parametrize("shape", [(20, 20), (18, 25)])
def test_elastic_after_affine_is_one_resampling(shape):
    words = np.stack([drawn()[codes.AFFINE][-8:], drawn()[codes.ELASTIC][-8:]], 1)
    images = pictures(8, *shape)
    matrix, field = (numbers(code, words[:, k].copy(), "cpu") for k, code in enumerate((codes.AFFINE, codes.ELASTIC)))
    once = elastic.tensor(torch.from_numpy(images), *field, *matrix).numpy()
    np.testing.assert_allclose(once, by_reference([codes.AFFINE, codes.ELASTIC], words, images), atol=LEVEL)
    twice = elastic.tensor(affine.tensor(torch.from_numpy(images), *matrix), *field).numpy()
    assert np.abs(once - twice).max() > 10  # it is not the same as two


def test_keyed_normals_are_those_of_the_same_words():
    keys = np.array([[0, 0], [0xFFFFFFFF, 0xFFFFFFFF], [0xA4093822, 0x299F31D0], [0x80000000, 1]])
    ours = torch.stack(tensor_normals(5000, *torch.from_numpy(keys).T), 2).numpy()  # (4, 5000, 4)
    counter = np.zeros((5000, 4), np.uint32)
    counter[:, 0] = np.arange(5000)
    for key, out in zip(keys, ours, strict=True):
        w = philox_numpy(counter, tuple(key)).astype(float)
        radius, angle = np.sqrt(-2 * np.log((w[:, ::2] + 1) / 2**32)), w[:, 1::2] * (2 * np.pi / 2**32)
        exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2).reshape(5000, 4)
        np.testing.assert_allclose(out, exact, rtol=0, atol=5e-6)  # float32, the angle up to 2 pi


def test_a_blur_that_reaches_as_far_as_the_view_keeps_its_sum():
    images = torch.from_numpy(pictures(3, 30, 30))
    out = blur.tensor(images, torch.tensor([20.0, 0.01, 4.0]), torch.tensor([60.0, 1.0, 12.0]))
    torch.testing.assert_close(out[1], images[1], rtol=0, atol=1e-4)
    even = blur.tensor(torch.full_like(images, 255.0), torch.tensor([20.0, 0.3, 4.0]), torch.tensor([60.0, 1.0, 12.0]))
    torch.testing.assert_close(even, torch.full_like(images, 255.0), rtol=0, atol=1e-3)


BOXES = {
    "crop": [(0, 0, 60, 45), (7, 3, 29, 40), (10, 10, 11, 11), (5, 5, 21, 21), (0, 0, 60, 1)],
    "image": [(3.25, 1.5, 40.75, 30.0), (10.1, 10.2, 20.3, 40.4), (0, 0, 60, 45), (0.0, 40.5, 59.5, 45.0)],
    "pad": [(0, 0, 60, 45), (-8, 6, 52, 51), (10.5, -20.25, 70.5, 24.75), (-100, 0, -40, 45), (5, 5, 9, 9)],
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("edge", BOXES)
@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (37, 21), (96, 96), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crop_and_resize_of_all_boxes_equals_the_reference_of_each(edge, cubic, size, dtype, device):
    source = np.random.default_rng(0).integers(0, 256, (45, 60, 3), dtype=np.uint8)
    image = torch.from_numpy(source).permute(2, 0, 1).to(device, dtype)
    for where in {"cpu", device}:  # boxes may come from the plan as it is
        out = resize.tensor(image, torch.tensor(BOXES[edge]).to(where), size, edge, cubic)
        exact = np.stack([resize.reference(source, box, size, edge, cubic) for box in BOXES[edge]])
        # weights and sums of float32, one part in 2^24 of 255 each
        np.testing.assert_allclose(out.cpu(), exact, rtol=0, atol=1e-3)


def test_a_box_far_out_in_a_large_image_is_as_exact():
    source = np.random.default_rng(0).integers(0, 256, (3, 5000, 3), dtype=np.uint8)
    box = (4811.0, 0.0, 4938.0, 3.0)
    out = resize.tensor(torch.from_numpy(source).permute(2, 0, 1), torch.tensor([box]), (3, 100))
    np.testing.assert_allclose(out[0], resize.reference(source, box, (3, 100)), rtol=0, atol=1e-3)


def test_crop_and_programs_by_tensors_give_the_renderers_views():
    side, n = 48, 6
    images = np.random.default_rng(1).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    views = ViewSet(["simclr", "digits_all"], crops=2, size=32)
    place, sides = np.arange(n) * images[0].size, np.full(n, side)
    plan = Drawer(views, 3)(0, np.arange(n), sides, sides)
    (out,) = outs = [np.empty((len(views), n, 3, 32, 32), F32)]
    Renderer(views, side, None, "float32")(images.reshape(-1), place, sides, sides, plan, 0, outs)
    for v, b in np.ndindex(len(views), n):
        image = torch.from_numpy(images[b]).permute(2, 0, 1)
        edge = views.crop_rule(views.views[v].crop).edge
        x = resize.tensor(image, torch.from_numpy(plan.box[v, b][None]), (32, 32), edge)
        steps = [(int(code), words[None]) for code, words in zip(plan.op[v, b], plan.arg[v, b], strict=True) if code]
        while steps:
            code, words = steps.pop(0)
            if code == codes.AFFINE and steps and steps[0][0] == codes.ELASTIC:
                x = elastic.tensor(x, *numbers(codes.ELASTIC, steps.pop(0)[1], "cpu"), *numbers(code, words, "cpu"))
            else:
                x = STEPS[code].tensor(x, *numbers(code, words, "cpu"))
        # the kernels' resize and blur of 16 bits, each up to 0.15 off, and what jitter makes of that
        np.testing.assert_allclose(x[0], out[v, b], rtol=0, atol=1.0)


def test_normalize_equals_its_reference():
    images, ours = pictures(4, 5, 7), Normalize()
    out = normalize.tensor(torch.from_numpy(images), ours.mean, ours.std)
    exact = [normalize.reference(x.astype(float), ours.mean, ours.std) for x in images]
    np.testing.assert_allclose(out, exact, rtol=0, atol=1e-5)


def test_noise_of_a_batch_is_not_the_same_for_two_keys():
    words = drawn()[codes.NOISE]
    sigma, key0, key1 = numbers(codes.NOISE, words, "cpu")
    flat = torch.full((len(words), 3, 20, 20), 128.0)
    out = STEPS[codes.NOISE].tensor(flat, torch.full_like(sigma, 10.0), key0, key1) - 128
    assert abs(np.corrcoef(out.flatten(1))[np.triu_indices(len(words), 1)]).max() < 0.15  # 5 deviations of 1200 values
    assert GaussianNoise().sigma == (0.0, 25.0) and (out.std((1, 2, 3)) - 10).abs().max() < 1  # 5 deviations
