"""Boxes of a COCO file: an instances JSON and the folder of its images, checked before anything is trained.

A file has {"images": [{"id", "file_name", "width", "height"}], "annotations": [{"id", "image_id", "category_id",
"bbox": [x, y, width, height], "area", "iscrowd"}], "categories": [{"id", "name"}]}. The ids of categories may have
gaps: classes are numbered 1, 2, ... in the order of the ids, and 0 is the background, as torchvision's detectors want.
"""

from __future__ import annotations

import json
import logging
import math
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data_loading.errors import DecodeError, SourceError
from massrl.dense.images import folder_of, read_rgb

log = logging.getLogger(__name__)
SLACK = 1.0  # pixels that a box may lie outside its image: COCO's coordinates are rounded


@dataclass(frozen=True)
class Boxes:
    """Images with boxes. files: relative to `folder`.  sizes: (width, height).  targets: what a detector is trained on.

    A target is {"boxes": (N, 4) float32, x1 y1 x2 y2 in pixels; "labels": (N,) int64 from 1; "area": (N,) float32;
    "iscrowd": (N,) int64}.  left_out: number of boxes without area.
    """

    folder: Path
    classes: tuple[str, ...]
    files: list[str]
    sizes: list[tuple[int, int]]
    targets: list[dict[str, Tensor]]
    left_out: int

    def __len__(self) -> int:
        return len(self.files)

    def read(self, row: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Image, uint8 (3, H, W), and target of a row.

        Raises DecodeError where the image cannot be read, or has another size than the file says.
        """
        path = self.folder / self.files[row]
        image = read_rgb(path)
        size = (image.shape[2], image.shape[1])
        if size != self.sizes[row]:
            raise DecodeError(
                f"{path}: has {size[0]} x {size[1]} pixels, and its JSON file says "
                f"{self.sizes[row][0]} x {self.sizes[row][1]}; its boxes would not fit"
            )
        return image, self.targets[row]

    def with_boxes(self) -> list[int]:
        """Rows of images with at least one box that is no crowd: what a detector is trained on, as in detectron2."""
        return [i for i, target in enumerate(self.targets) if (target["iscrowd"] == 0).any()]


def read_coco(json_file: str | os.PathLike, folder: str | os.PathLike, part: str = "train") -> Boxes:
    """Read and check a COCO file of boxes, and that its images are there.

    part: "train" or "test", for messages.  Raises SourceError, in one line, which names file, image or annotation.
    """
    home, path = folder_of(folder, part), Path(json_file)
    content = _content(path)
    categories = {_id(c, path, "categories"): str(c.get("name", c["id"])) for c in content["categories"]}
    _unique(content["categories"], path, "categories")
    images = {_id(image, path, "images"): image for image in content["images"]}
    _unique(content["images"], path, "images")
    if not categories:
        raise SourceError(f"{path}: has no categories; nothing could be detected")
    if not images:
        raise SourceError(f"{path}: has no images")
    for image in images.values():
        _check_image(image, path)
    names = [image["file_name"] for image in images.values()]
    missing = [name for name in names if not (home / name).is_file()]
    if missing:
        raise SourceError(
            f"{path}: {len(missing)} of its {len(names)} images are not in {home}, for example {missing[0]}"
        )
    number = {category: i + 1 for i, category in enumerate(sorted(categories))}
    found, left_out = _annotations(content["annotations"], images, number, path)
    if not any(found.values()):
        raise SourceError(f"{path}: has no annotations with a box; there is nothing to {part}")
    if left_out:
        log.warning("%s: %d boxes without width or height are left out", path, left_out)
    return Boxes(
        folder=home,
        classes=tuple(categories[i] for i in sorted(categories)),
        files=names,
        sizes=[(image["width"], image["height"]) for image in images.values()],
        targets=[_target(found[i]) for i in images],
        left_out=left_out,
    )


def _content(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The three lists of a COCO file."""
    if not path.is_file():
        raise SourceError(f"{path}: no such file; give the COCO JSON file of instances")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not a JSON file ({' '.join(str(error).split())[:100]})") from None
    for key in ("images", "annotations", "categories"):
        rows = content.get(key) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise SourceError(f"{path}: has no list {key!r} of objects; it is not a COCO file of instances")
    return content


def _id(row: dict[str, Any], path: Path, key: str) -> int:
    found = row.get("id")
    if not isinstance(found, int) or isinstance(found, bool):
        raise SourceError(f"{path}: one of its {key} has the id {found!r}; ids must be integers")
    return found


def _unique(rows: list[dict[str, Any]], path: Path, key: str) -> None:
    seen: set[int] = set()
    for row in rows:
        if row["id"] in seen:
            raise SourceError(f"{path}: two of its {key} have the id {row['id']}")
        seen.add(row["id"])


def _check_image(image: dict[str, Any], path: Path) -> None:
    name, where = image.get("file_name"), f"{path}: image {image['id']}"
    if not isinstance(name, str) or not name:
        raise SourceError(f"{where} has no file_name")
    for side in ("width", "height"):
        if not isinstance(image.get(side), int) or image[side] < 1:
            raise SourceError(f"{where} ({name}) has the {side} {image.get(side)!r}; it must be a positive integer")


def _annotations(
    rows: list[dict[str, Any]], images: dict[int, dict[str, Any]], number: dict[int, int], path: Path
) -> tuple[dict[int, list[tuple[list[float], int, float, int]]], int]:
    """({image id: [(x1 y1 x2 y2, class, area, iscrowd)]}, how many boxes without area were left out)."""
    found: dict[int, list[tuple[list[float], int, float, int]]] = defaultdict(list)
    left_out = 0
    for row in rows:
        where = f"{path}: annotation {row.get('id')!r}"
        image = _of(images, row.get("image_id"))
        if image is None:
            raise SourceError(f"{where} is of image {row.get('image_id')!r}, which the file does not have")
        category = _of(number, row.get("category_id"))
        if category is None:
            raise SourceError(f"{where} is of category {row.get('category_id')!r}, which the file does not have")
        box = _corners(row.get("bbox"), image, where)
        if box[2] <= box[0] or box[3] <= box[1]:
            left_out += 1
            continue
        area = row.get("area")
        area = float(area) if isinstance(area, int | float) else (box[2] - box[0]) * (box[3] - box[1])
        found[row["image_id"]].append((box, category, area, int(bool(row.get("iscrowd", 0)))))
    return found, left_out


def _of(table: dict[int, Any], key: Any) -> Any:
    return table.get(key) if isinstance(key, int) else None


def _corners(bbox: Any, image: dict[str, Any], where: str) -> list[float]:
    """[x1, y1, x2, y2] of [x, y, width, height], cut at the edges of the image."""
    numbers = isinstance(bbox, list) and len(bbox) == 4 and all(isinstance(v, int | float) for v in bbox)
    if not numbers or not all(math.isfinite(v) for v in bbox) or bbox[2] < 0 or bbox[3] < 0:
        raise SourceError(f"{where} has the bbox {bbox!r}; it must be [x, y, width, height] in pixels")
    x, y, w, h = (float(v) for v in bbox)
    width, height = image["width"], image["height"]
    if x < -SLACK or y < -SLACK or x + w > width + SLACK or y + h > height + SLACK:
        raise SourceError(
            f"{where}: the box {bbox} lies outside image {image['file_name']}, of {width} x {height} pixels"
        )
    return [max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))]


def _target(rows: list[tuple[list[float], int, float, int]]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor([row[0] for row in rows], dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor([row[1] for row in rows], dtype=torch.int64),
        "area": torch.tensor([row[2] for row in rows], dtype=torch.float32),
        "iscrowd": torch.tensor([row[3] for row in rows], dtype=torch.int64),
    }
