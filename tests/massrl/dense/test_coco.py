"""COCO files of boxes: what is read, and what is refused by name in one line."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from data_loading.errors import DecodeError, SourceError
from massrl.dense.coco import read_coco
from massrl.dense.shapes import CATEGORIES, SHAPES, scene, write_scenes


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images of 20 x 10 pixels, three boxes of two categories, whose ids have a gap."""
    for name in ("a.png", "b.png"):
        Image.new("RGB", (20, 10), (200, 30, 40)).save(tmp_path / name)
    return tmp_path


def content(**changes) -> dict:
    images = [{"id": 7, "file_name": "a.png", "width": 20, "height": 10}]
    images += [{"id": 3, "file_name": "b.png", "width": 20, "height": 10}]
    boxes = [
        {"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 5, 4], "area": 11, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 20.5, 10], "iscrowd": 0},
        {"id": 3, "image_id": 7, "category_id": 4, "bbox": [2, 2, 6, 6], "area": 36, "iscrowd": 1},
    ]
    categories = [{"id": 90, "name": "kite"}, {"id": 4, "name": "ant"}]
    return {"images": images, "annotations": boxes, "categories": categories, **changes}


def written(folder: Path, found) -> Path:
    path = folder / "instances.json"
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return path


def test_boxes_are_corners_cut_at_the_edge_and_classes_are_numbered_over_the_gaps(folder):
    boxes = read_coco(written(folder, content()), folder)
    assert (boxes.classes, boxes.files, boxes.sizes) == (("ant", "kite"), ["a.png", "b.png"], [(20, 10)] * 2)
    image, target = boxes.read(0)
    assert image.shape == (3, 10, 20) and image[:, 0, 0].tolist() == [200, 30, 40]
    assert target["boxes"].tolist() == [[1, 2, 6, 6], [0, 0, 20, 10], [2, 2, 8, 8]]
    assert target["labels"].tolist() == [2, 1, 1]
    assert target["area"].tolist() == [11, 200, 36]  # of the second, which has none, width times height
    assert target["iscrowd"].tolist() == [0, 0, 1]
    assert boxes.read(1)[1]["boxes"].shape == (0, 4)
    assert boxes.with_boxes() == [0]


def test_a_box_without_area_is_left_out_and_counted(folder, caplog):
    boxes = [{"id": 1, "image_id": 7, "category_id": 90, "bbox": [1, 2, 5, 0]}, content()["annotations"][0]]
    found = read_coco(written(folder, content(annotations=boxes)), folder)
    assert found.left_out == 1 and len(found.targets[0]["boxes"]) == 1
    assert "1 boxes without width or height are left out" in caplog.text


def box(**changes) -> dict:
    return content(annotations=[{"id": 5, "image_id": 7, "category_id": 4, "bbox": [1, 1, 2, 2], **changes}])


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ("{", "not a JSON file"),
        ("[]", "has no list 'images'"),
        (content(annotations=5), "has no list 'annotations'"),
        (content(annotations=[]), "has no annotations with a box; there is nothing to train"),
        (content(categories=[]), "has no categories"),
        (content(images=[]), "has no images"),
        (content(images=[*content()["images"], content()["images"][0]]), "two of its images have the id 7"),
        (content(categories=[{"id": "4"}]), "one of its categories has the id '4'"),
        (content(images=[{"id": 7, "file_name": "a.png", "width": 0}]), r"image 7 \(a.png\) has the width 0"),
        (content(images=[{"id": 7, "width": 20, "height": 10}]), "image 7 has no file_name"),
        (content(images=[{**content()["images"][0], "file_name": "c"}]), "1 of its 1 images are not in .*example c"),
        (box(image_id=70), "annotation 5 is of image 70, which"),
        (box(image_id=[7]), r"annotation 5 is of image \[7\], which"),
        (box(category_id=5), "annotation 5 is of category 5, which"),
        (box(bbox=[1, 1, 2]), r"annotation 5 has the bbox \[1, 1, 2\]; it must be"),
        (box(bbox=[1, 1, -2, 2]), "annotation 5 has the bbox"),
        (box(bbox=[1, 1, 2, float("nan")]), "annotation 5 has the bbox"),
        (box(bbox=[15, 1, 10, 2]), r"annotation 5: the box \[15, 1, 10, 2\] lies outside image a.png, of 20 x 10"),
        (box(bbox=[300, 1, 2, 2]), "annotation 5: the box .* lies outside image a.png"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name_in_one_line(folder, found, line):
    path = written(folder, found)
    with pytest.raises(SourceError, match=line) as error:
        read_coco(path, folder)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_files_and_folders_are_refused_by_name(folder):
    with pytest.raises(SourceError, match="none.json: no such file"):
        read_coco(folder / "none.json", folder)
    with pytest.raises(SourceError, match="test: .*nowhere is not a folder"):
        read_coco(written(folder, content()), folder / "nowhere", "test")


def test_an_image_that_is_damaged_or_of_another_size_is_refused_by_name(folder):
    boxes = read_coco(written(folder, content()), folder)
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:40])
    with pytest.raises(DecodeError, match="a.png: cannot be decoded"):
        boxes.read(0)
    Image.new("RGB", (10, 20)).save(folder / "b.png")
    with pytest.raises(DecodeError, match="b.png: has 10 x 20 pixels, and its JSON file says 20 x 10"):
        boxes.read(1)


def test_generated_scenes_have_boxes_that_touch_their_shapes(tmp_path):
    boxes = read_coco(write_scenes(tmp_path, 5, seed=1) / "instances.json", tmp_path / "images")
    assert boxes.classes == SHAPES and CATEGORIES == (1, 5, 9)
    import numpy as np

    rng = np.random.default_rng(1)
    for row in range(5):
        made = scene(rng)
        image, target = boxes.read(row)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), made.image)
        for (x1, y1, x2, y2), label in zip(target["boxes"].int().tolist(), target["labels"].tolist(), strict=True):
            inside = torch.from_numpy(made.mask[y1:y2, x1:x2] == label)
            assert inside.any(0).all() and inside.any(1).all()  # no row or column of the box is empty
        outside = made.mask.copy()
        for x, y, w, h, _ in made.boxes:
            outside[y : y + h, x : x + w] = 0
        assert not outside.any()
