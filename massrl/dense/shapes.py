"""Generated scenes of circles, squares and triangles with boxes and masks, for `--check` and tests.

The answer is known: every pixel of a shape has its class, and every shape has its box.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = ("circle", "square", "triangle")
COLOURS = np.array([(220, 30, 30), (30, 220, 30), (30, 30, 220)], np.float64)  # of the shapes, where colour tells them
CATEGORIES = (1, 5, 9)  # with gaps, as COCO's own


@dataclass(frozen=True)
class Scene:
    """image (S, S, 3) uint8; mask (S, S) uint8, 0 the ground, then 1, 2, 3 for SHAPES; boxes: (x, y, w, h, class)."""

    image: np.ndarray
    mask: np.ndarray
    boxes: list[tuple[int, int, int, int, int]]


def scene(rng: np.random.Generator, side: int = 64, coloured: bool = False, most: int = 3) -> Scene:
    """One to `most` shapes on a textured ground, none over another.

    coloured: each shape has a colour of its own, so that a pixel's colour tells its class; else colours are random.
    """
    ground = 90 + 60 * (rng.random(3) if not coloured else np.full(3, rng.random()))
    image = _texture(rng, side, ground, 25)
    mask = np.zeros((side, side), np.uint8)
    boxes = []
    y, x = np.mgrid[:side, :side]
    for _ in range(rng.integers(1, most + 1)):
        radius = int(rng.integers(side // 7, side // 4))
        cx, cy = rng.integers(radius + 1, side - radius - 1, 2)
        shape = int(rng.integers(len(SHAPES)))
        inside = _inside(shape, x - cx, y - cy, radius)
        around = (abs(x - cx) <= radius + 1) & (abs(y - cy) <= radius + 1)
        colour = COLOURS[shape] if coloured else _unlike(rng, ground)
        fill = _texture(rng, side, colour, 15)  # before the test: the later shapes do not depend on it
        if mask[around].any():
            continue
        image[inside] = fill[inside]
        mask[inside] = shape + 1
        rows, columns = np.nonzero(inside)
        left, top = int(columns.min()), int(rows.min())
        boxes.append((left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top, shape + 1))
    return Scene(image.clip(0, 255).astype(np.uint8), mask, boxes)


def write_scenes(folder: Path, count: int, seed: int, side: int = 64, coloured: bool = False, most: int = 3) -> Path:
    """Write `count` scenes: images/*.png, masks/*.png and instances.json, with COCO's boxes; returns the folder."""
    rng = np.random.default_rng(seed)
    content: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [{"id": i, "name": name} for i, name in zip(CATEGORIES, SHAPES, strict=True)]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        made = scene(rng, side, coloured, most)
        name = f"{number:04}.png"
        Image.fromarray(made.image).save(folder / "images" / name)
        Image.fromarray(made.mask).save(folder / "masks" / name)
        content["images"].append({"id": 100 + number, "file_name": name, "width": side, "height": side})
        for *box, label in made.boxes:
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": 100 + number,
                    "category_id": CATEGORIES[label - 1],
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


def _unlike(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    """A random colour at a distance of at least 100 from the ground's."""
    while True:
        colour = 255 * rng.random(3)
        if np.linalg.norm(colour - ground) >= 100:
            return colour


def _texture(rng: np.random.Generator, side: int, colour: np.ndarray, depth: float) -> np.ndarray:
    """A surface (S, S, 3) of that mean colour with smooth noise of that standard deviation."""
    coarse = rng.standard_normal((side // 4 + 2, side // 4 + 2))
    grown = np.kron(coarse, np.ones((4, 4)))
    smooth = np.mean([grown[i : i + side, j : j + side] for i in range(4) for j in range(4)], axis=0)
    return colour + depth * smooth[..., None] + 5 * rng.standard_normal((side, side, 3))


def _inside(shape: int, dx: np.ndarray, dy: np.ndarray, radius: int) -> np.ndarray:
    """Pixels of a shape around its centre; the shapes have about one area."""
    if SHAPES[shape] == "circle":
        return dx**2 + dy**2 <= radius**2
    if SHAPES[shape] == "square":
        return (abs(dx) <= 0.88 * radius) & (abs(dy) <= 0.88 * radius)
    return (dy <= radius) & (2 * abs(dx) <= dy + radius)
