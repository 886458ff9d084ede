"""Pictures of seeds: the loader's order and its ops with separate seeds, and ops that share random numbers.

They reproduce the pictures of FFCV-SSL's README with our Loader.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from data_loading.fields import RGBImageField
from data_loading.loading.loader import Loader
from data_loading.loading.replay import replay_image
from data_loading.ops import Grayscale, HorizontalFlip, Resize, Translate
from data_loading.ops.grayscale import GRAYSCALE
from data_loading.sources.dataset_writer import DatasetWriter
from data_loading.strategies import Strategy
from data_loading.views.view_set import ViewSet
from massrl.report.pictures.draw import at_least_one
from massrl.report.pictures.grid import Cell, Row, grid
from massrl.report.style import CLASSES, RIGHT

BATCH = 3
FRESH = 100  # run r of a figure uses seed FRESH + r instead of a random one, so that the figure is reproducible


def seeding(
    images: Sequence[np.ndarray],
    order_seed: int | None = None,
    op_seed: int | None = None,
    runs: int = 3,
    batches: int = 3,
    size: int = 96,
) -> Figure:
    """The first batches of several runs of a program: one row per run, frames in the colour of the batch.

    images: uint8 (H, W, 3) each; fewer than 3 * batches images are cut into tiles first.  order_seed: of the loader's
    order.  op_seed: of two ops that shift the image by a random fraction of its side.  A seed None differs between
    runs.  size: side of a view, pixels.
    """
    at_least_one(images=len(images), runs=runs, batches=batches)
    tiles = images if len(images) >= BATCH * batches else [tile for image in images for tile in cut(image)]
    shifts = [Translate((-0.4, 0.4), axis, fill=160, p=1.0, seed=op_seed) for axis in ("x", "y")]
    views = ViewSet([Strategy("shift", [shifts], crop=Resize())], crops=1, size=size)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tiles.beton"
        DatasetWriter(file, {"image": RGBImageField("raw")}).from_indexed_dataset([(t,) for t in tiles], progress=False)
        for run in range(runs):
            fresh = FRESH + run
            order = fresh if order_seed is None else order_seed
            loader = Loader(
                file, BATCH, views, order_seed=order, view_seed=fresh, dtype="uint8", num_workers=1, pin_memory=False
            )
            cells = []
            for at, batch in zip(range(batches), loader, strict=False):
                pixels = batch.views[0].permute(0, 2, 3, 1).numpy()
                samples = batch.index.tolist()
                cells += [Cell(p.copy(), f"image {i}", CLASSES[at]) for p, i in zip(pixels, samples, strict=True)]
            rows.append(Row(f"run {run + 1}", cells))
    titles = [f"batch {at // BATCH + 1}" if at % BATCH == 1 else "" for at in range(BATCH * batches)]
    return grid(rows, titles, f"order seed {_word(order_seed)}, op seeds {_word(op_seed)}", cell=0.92)


def _word(seed: int | None) -> str:
    """A seed as text in the heading."""
    return "None (fresh in each run)" if seed is None else str(seed)


def cut(image: np.ndarray, down: int = 2, across: int = 3) -> list[np.ndarray]:
    """down x across square tiles, row by row, from the middle of an image uint8 (H, W, 3)."""
    side = min(image.shape[0] // down, image.shape[1] // across)
    top, left = (image.shape[0] - down * side) // 2, (image.shape[1] - across * side) // 2
    corners = [(top + r * side, left + c * side) for r in range(down) for c in range(across)]
    return [np.ascontiguousarray(image[y : y + side, x : x + side]) for y, x in corners]


def shared_draws(image: np.ndarray, samples: int = 8, seed: int = 0, size: int = 128) -> Figure:
    """Three views of each sample, of which the first two share their grayscale op: both are gray or neither is.

    image: uint8 (H, W, 3).  size: side of views 1 and 3, pixels; view 2 has half of it.  A frame marks the views that
    the plan makes gray.
    """
    at_least_one(samples=samples)
    flip = HorizontalFlip()
    pair = [flip, Grayscale(0.5, share="gray")]
    kinds = [("view 1", pair, size), ("view 2", pair, size // 2), ("view 3", [flip, Grayscale(0.5)], size)]
    views = ViewSet([Strategy(name, [ops], size=side) for name, ops, side in kinds], crops=1, own_sizes=True)
    drawn = [replay_image(image, views, seed, index=index) for index in range(samples)]
    notes = ("Grayscale(0.5,\nshare='gray')", f"share='gray';\n{size // 2} pixels", "Grayscale(0.5)")
    rows = []
    for v, (name, _, _) in enumerate(kinds):
        gray = [bool((one.plan.op[v, 0] == GRAYSCALE).any()) for one in drawn]
        cells = [Cell(one.views[v], frame=RIGHT if g else None) for one, g in zip(drawn, gray, strict=True)]
        rows.append(Row(name, cells, notes[v]))
    return grid(rows, [f"sample {i}" for i in range(samples)])
