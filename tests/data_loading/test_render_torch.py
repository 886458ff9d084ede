"""Views made by tensors are those that the compiled renderer makes of the same plan."""

import numpy as np
import pytest
import torch
from PIL import Image

from data_loading import Strategy, ViewSet
from data_loading.errors import ViewError
from data_loading.ops import Normalize, OwnOp
from data_loading.render.numba_renderer import Renderer
from data_loading.render.torch_renderer import render
from data_loading.views.sampling import Drawer

F32 = np.float32
SIDE, N = 48, 7
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
SETS = {
    "simclr and digits": ViewSet(["simclr", "digits_all"], crops=2, size=32),
    "byol, bicubic": ViewSet(["byol"], crops=2, size=40),
    "dino, two sizes": ViewSet(["dino"], crops=2, size=32, local=3, local_size=13),
    "a strategy drawn for each": ViewSet(["randaugment", "autoaugment", "moco_v1"], crops=2, size=24, assign="drawn"),
}


def pictures(n=N, side=SIDE, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def plan_of(views, n=N, side=SIDE, seed=3):
    return Drawer(views, seed)(0, np.arange(n), np.full(n, side), np.full(n, side))


def by_renderer(views, images, plan):
    n, side = images.shape[:2]
    outs = [np.empty((len(members), n, 3, s, s), F32) for s, members in views.groups()]
    Renderer(views, side, None, "float32")(
        images.reshape(-1), np.arange(n) * images[0].size, np.full(n, side), np.full(n, side), plan, 0, outs
    )
    made = [None] * len(views)
    for (_, members), block in zip(views.groups(), outs, strict=True):
        for v, view in zip(members, block, strict=True):
            made[v] = view
    return made


def as_tensor(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", SETS)
def test_views_are_those_of_the_compiled_renderer(name, device):
    views, images = SETS[name], pictures()
    plan = plan_of(views)
    ours = render(views, as_tensor(images).to(device), plan)
    for mine, other in zip(ours, by_renderer(views, images, plan), strict=True):
        assert mine.dtype == torch.float32 and mine.device.type == device
        off = np.abs(mine.cpu().numpy() - other)
        # The kernels' resize and blur are of 16 bits, each up to 0.15 off; ops with a threshold make more of it.
        assert (off > 1.0).mean() <= (0.02 if "drawn" in name else 1e-4), off.max()


@pytest.mark.parametrize("cubic", [False, True])
def test_crop_and_resize_are_within_a_level_of_pillows(cubic):
    views = ViewSet([Strategy("plain", [[]])], crops=2, size=20, interpolation="bicubic" if cubic else "bilinear")
    images, plan = pictures() // 2 + 64, plan_of(views)  # far from 0 and 255, where Pillow cuts between the axes too
    kind = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    for v, view in enumerate(render(views, as_tensor(images), plan)):
        for b in range(N):
            crop = Image.fromarray(images[b]).crop(tuple(plan.box[v, b].astype(int)))
            exact = np.asarray(crop.resize((20, 20), kind), float).transpose(2, 0, 1)
            # Pillow rounds twice; the second pass of a cubic filter, of 1.4 in sum, enlarges what the first has lost.
            np.testing.assert_allclose(view[b], exact, rtol=0, atol=1.25 if cubic else 1.0)


def test_each_image_has_numbers_of_its_own():
    views = ViewSet(["simclr"], crops=1, size=32)
    one = as_tensor(np.repeat(pictures(1), N, 0))
    (view,) = render(views, one, plan_of(views))
    assert len({image.numpy().tobytes() for image in view}) == N


def test_views_are_normalised_and_the_images_stay():
    views = ViewSet(["simclr"], crops=1, size=32)
    images, plan, normalise = as_tensor(pictures()).float(), plan_of(views), Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    before = images.clone()
    (plain,), (out,) = render(views, images, plan), render(views, images, plan, normalise)
    mean, std = (torch.tensor(x)[:, None, None] for x in (normalise.mean, normalise.std))
    torch.testing.assert_close(out, (plain / 255 - mean) / std, rtol=0, atol=1e-5)
    assert torch.equal(images, before)


def test_autocast_changes_no_pixel():
    views = ViewSet(["simclr"], crops=1, size=32)
    images, plan = as_tensor(pictures()), plan_of(views)
    with torch.autocast("cpu", torch.bfloat16):
        (inside,) = render(views, images, plan)
    assert torch.equal(inside, render(views, images, plan)[0])


def test_a_plan_of_another_batch_is_refused():
    views = ViewSet(["simclr"], crops=2, size=32)
    with pytest.raises(ViewError, match="not of this view set and batch"):
        render(views, as_tensor(pictures()), plan_of(views, n=3))


def test_an_own_op_without_a_tensor_form_is_refused_by_name():
    class Halved(OwnOp):
        """Half as bright."""

        @staticmethod
        def draw(params, state, arg, word):
            arg[0] = 0.5

        @staticmethod
        def kernel(image, scratch, arg, word):
            image *= arg[0]

    views = ViewSet([Strategy("own", [[Halved()]])], crops=1, size=8)
    with pytest.raises(ViewError, match="the op halved has no form for tensors"):
        render(views, as_tensor(pictures()), plan_of(views))
