"""Folders of images and masks: what is read, and what is refused by name in one line."""

import numpy as np
import pytest
from PIL import Image

from data_loading.errors import ConfigError, DecodeError, SourceError
from massrl.dense.masks import read_masks


@pytest.fixture
def folders(tmp_path):
    """Two images of 4 x 3 pixels, a JPEG and a PNG, with masks of classes 0, 1, 3 and ignored pixels."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    Image.new("RGB", (4, 3), (9, 9, 9)).save(images / "a.jpg")
    Image.new("RGB", (4, 3), (200, 0, 0)).save(images / "b.png")
    Image.fromarray(np.array([[0, 1, 1, 255]] * 3, np.uint8)).save(masks / "a.png")
    Image.fromarray(np.array([[0, 3, 3, 3]] * 3, np.uint8)).save(masks / "b.png")
    return images, masks


def test_images_and_masks_are_paired_by_name_and_classes_are_counted(folders):
    found = read_masks(*folders)
    assert (len(found), found.classes) == (2, 4)
    image, mask = found.read(1)
    assert image.shape == (3, 3, 4) and image[:, 0, 0].tolist() == [200, 0, 0]
    assert mask.tolist() == [[0, 3, 3, 3]] * 3
    assert found.read(0)[1][0].tolist() == [0, 1, 1, 255]
    found.check()


def test_zero_can_be_ignored_as_in_ade20k(folders):
    found = read_masks(*folders, zero_is_ignored=True)
    assert found.classes == 3
    assert found.read(0)[1][0].tolist() == [255, 0, 0, 255]
    assert found.read(1)[1][0].tolist() == [255, 2, 2, 2]


def test_the_indices_of_a_palette_image_are_its_classes(folders):
    images, masks = folders
    picture = Image.fromarray(np.array([[0, 1, 2, 255]] * 3, np.uint8), mode=None).convert("L")
    coloured = Image.frombytes("P", picture.size, picture.tobytes())
    coloured.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    coloured.save(masks / "a.png")
    assert read_masks(images, masks).read(0)[1][0].tolist() == [0, 1, 2, 255]


def test_a_label_beyond_the_classes_is_refused_by_name(folders):
    found = read_masks(*folders, classes=3)
    with pytest.raises(SourceError, match=r"b.png: has the label 3, and classes are 0 to 2") as error:
        found.check()
    assert "\n" not in str(error.value)
    found = read_masks(*folders, classes=2, zero_is_ignored=True)
    with pytest.raises(SourceError, match=r"b.png: has the label 2 after 1 is subtracted, and classes are 0 to 1"):
        found.read(1)


def test_a_missing_mask_and_an_empty_folder_are_refused_by_name(folders, tmp_path):
    images, masks = folders
    (masks / "a.png").unlink()
    with pytest.raises(SourceError, match=r"train: 1 of 2 images have no mask in .*masks, for example a.jpg"):
        read_masks(images, masks)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="test: no images in .*empty"):
        read_masks(tmp_path / "empty", masks, "test")
    with pytest.raises(SourceError, match="train_masks: .*nowhere is not a folder"):
        read_masks(images, tmp_path / "nowhere")
    Image.new("RGB", (4, 3)).save(images / "b.jpg")
    with pytest.raises(SourceError, match="b.jpg and b.png have one name"):
        read_masks(images, masks)


def test_a_mask_of_another_size_or_mode_is_refused_by_name(folders):
    images, masks = folders
    Image.new("RGB", (4, 3)).save(masks / "a.png")
    with pytest.raises(DecodeError, match="a.png: has the mode RGB; a mask has one channel"):
        read_masks(images, masks)
    Image.new("L", (3, 4)).save(masks / "a.png")
    with pytest.raises(SourceError, match=r"a.png: has 3 x 4 pixels, and its image a.jpg has 4 x 3"):
        read_masks(images, masks)
    (masks / "a.png").write_bytes(b"not an image")
    with pytest.raises(DecodeError, match="a.png: cannot be read as an image"):
        read_masks(images, masks)


def test_masks_of_one_class_and_impossible_numbers_of_classes_are_refused(folders):
    images, masks = folders
    for name in ("a.png", "b.png"):
        Image.new("L", (4, 3)).save(masks / name)
    with pytest.raises(SourceError, match="train_masks: .*masks has fewer than two classes"):
        read_masks(images, masks)
    for wrong in (1, 0, 256):
        with pytest.raises(ConfigError, match=f"classes is {wrong}; it must lie from 2 to 255"):
            read_masks(images, masks, classes=wrong)
