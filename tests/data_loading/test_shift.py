"""Shift and Pad: whole pixels, to the bit, by the kernels and by the references."""

import numpy as np
import pytest

from data_loading import Strategy, ViewSet
from data_loading.errors import ViewError
from data_loading.ops import Pad, Resize, Shift
from data_loading.render.numba_renderer import Renderer
from data_loading.views.sampling import Drawer


def drawn(images, crop, ops, side, seed=0):
    """images: list of (H, W, 3) uint8 -> one view of each (n, side, side, 3), and their plan."""
    view_set = ViewSet([Strategy("one", [ops], crop=crop, size=side)], crops=1)
    height, width = (np.array([image.shape[axis] for image in images]) for axis in (0, 1))
    plan = Drawer(view_set, seed)(0, np.arange(len(images)), height, width)
    memory = np.concatenate([image.reshape(-1) for image in images])
    start = np.cumsum([0, *(image.size for image in images)])[:-1]
    out = np.empty((1, len(images), 3, side, side), np.uint8)
    Renderer(view_set, int(max(height.max(), width.max())), None)(memory, start, height, width, plan, 0, [out])
    return out[0].transpose(0, 2, 3, 1), plan


@pytest.fixture(params=["kernels", "references"])
def way(request, monkeypatch):
    if request.param == "references":
        monkeypatch.setenv("MASSRL_REFERENCE", "1")


def test_shift_is_one_of_the_crops_of_the_padded_image_each_equally_often(way):
    n, side, padding, fill = 160, 7, 2, (9, 100, 255)
    images = list(np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8))
    views, _ = drawn(images, Resize(), [Shift(padding, fill)], side)
    counts = np.zeros((5, 5))
    for image, view in zip(images, views, strict=True):
        padded = np.full((side + 4, side + 4, 3), fill, np.uint8)
        padded[2:-2, 2:-2] = image
        places = [
            (y, x) for y in range(5) for x in range(5) if np.array_equal(view, padded[y : y + side, x : x + side])
        ]
        assert len(places) == 1
        counts[places[0]] += 1
    # chi square of 25 cells, 160 draws: 99.9 % of uniform ones lie below 51.2 (24 degrees of freedom)
    assert ((counts - n / 25) ** 2 / (n / 25)).sum() < 51.2


def test_a_shift_beyond_the_view_leaves_the_fill_and_one_of_nothing_the_image(way):
    image = np.random.default_rng(1).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    views, plan = drawn([image] * 40, Resize(), [Shift(4000, 50)], 4)
    far = np.abs(plan.numbers[0, :, 0][:, [2, 5]]).max(axis=1) >= 4
    assert far.sum() > 30 and (views[far] == 50).all()
    views, _ = drawn([image], Resize(), [Shift(0, 50)], 4)
    assert np.array_equal(views[0], image)


@pytest.mark.parametrize("padding", [-1, 5000, 2.5])
def test_a_padding_out_of_range_is_refused(padding):
    with pytest.raises(ViewError, match=f"Shift: padding is {padding}; it must be an integer from 0 to 4096"):
        Shift(padding)


def test_pad_keeps_the_scale_and_fills_up_with_black(way):
    sides = [(3, 9), (9, 3), (9, 9), (1, 1), (12, 20)]
    images = [np.random.default_rng(i).integers(1, 256, (*side, 3), dtype=np.uint8) for i, side in enumerate(sides)]
    views, _ = drawn(images, Pad(), [], 9)
    for image, view in zip(images, views, strict=True):
        expected = np.zeros((9, 9, 3), np.uint8)
        part = image[:9, :9]
        expected[: part.shape[0], : part.shape[1]] = part
        assert np.array_equal(view, expected)
