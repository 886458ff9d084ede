"""Crop and resize is Pillow's antialiased bilinear, within one level of its rounding."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from PIL import Image

from data_loading.ops import resize

F32 = np.float32


def crop_resize(picture, box, size, inside=True):
    height, width, _ = picture.shape
    reach = 2 * int(np.ceil(max(height, width) / size)) + 3
    scratch = [a for _ in range(2) for a in (np.empty(size, int), np.empty(size, int), np.empty((size, reach), F32))]
    row, plane = np.empty(3 * width, F32), np.empty((3, size, size), F32)
    resize.crop_resize(picture.reshape(-1), height, width, np.asarray(box, F32), inside, *scratch, row, plane)
    return plane.transpose(1, 2, 0)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("box", [(0, 0, 60, 45), (7, 3, 29, 40), (10, 10, 11, 11), (0, 0, 60, 1), (5, 5, 21, 21)])
@pytest.mark.parametrize("size", [1, 8, 16, 37, 96])
def test_crop_then_resize_equals_pillow_within_one_level(box, size):
    source = picture(45, 60)
    theirs = np.asarray(Image.fromarray(source).crop(box).resize((size, size), Image.Resampling.BILINEAR), F32)
    # Pillow rounds after each of its two passes, half a level each, and its weights have 22 bits
    assert np.abs(crop_resize(source, box, size) - theirs).max() <= 1.0 + 1e-3


@pytest.mark.parametrize("box", [(3.25, 1.5, 40.75, 30.0), (10.1, 10.2, 20.3, 40.4)])
def test_a_box_of_fractions_reads_outside_itself_as_pillows_box_argument(box):
    source = picture(45, 60)
    theirs = Image.fromarray(source).resize((16, 16), Image.Resampling.BILINEAR, box=box)
    assert np.abs(crop_resize(source, box, 16, inside=False) - np.asarray(theirs, F32)).max() <= 1.0 + 1e-3


def test_crop_then_resize_equals_torchvision_on_floats():
    source = picture(150, 200)
    tensor = torch.from_numpy(source).permute(2, 0, 1).float()
    theirs = tv.resized_crop(tensor, 20, 31, 101, 87, [64, 64], antialias=True)
    ours = crop_resize(source, (31, 20, 31 + 87, 20 + 101), 64)
    np.testing.assert_allclose(ours, theirs.permute(1, 2, 0).numpy(), atol=1e-3)  # float32 sums in another order


def test_the_whole_image_at_its_own_size_is_copied_exactly():
    source = picture(24, 24)
    np.testing.assert_array_equal(crop_resize(source, (0, 0, 24, 24), 24), source.astype(F32))


def test_weights_of_a_pixel_sum_to_one():
    first, count, weight = np.empty(7, int), np.empty(7, int), np.empty((7, 40), F32)
    resize.taps(3.0, 80.0, 3, 80, 7, first, count, weight)
    for i in range(7):
        assert weight[i, : count[i]].sum() == pytest.approx(1, abs=1e-6)
        assert first[i] >= 3 and first[i] + count[i] <= 80
