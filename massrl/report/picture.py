"""The README's picture: a photograph, the boxes of its crops, and the views drawn from one decode.

`python -m massrl.report.picture images/views.png`. The photograph is flower.jpg of scikit-learn (CC BY 2.0,
https://www.flickr.com/photos/vultilion/6056698931).
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_sample_image

from data_loading.drawing import Drawer
from data_loading.render import Renderer
from data_loading.views import ViewSet

COLOURS = ("#e4572e", "#1b998b", "#2e6fdb", "#c08a00")


def draw_views(image: np.ndarray, view_set: ViewSet, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    """image uint8 (H, W, 3) -> boxes (V, 4) in pixels, and V views uint8 (S, S, 3), as the loader draws sample 0."""
    sides = np.array([image.shape[0]]), np.array([image.shape[1]])
    plan = Drawer(view_set, seed)(0, np.zeros(1, np.int64), *sides)
    outs = [np.empty((len(members), 1, 3, s, s), np.uint8) for s, members in view_set.groups()]
    renderer = Renderer(view_set, max(image.shape), normalize=None)
    renderer(np.ascontiguousarray(image).reshape(-1), np.zeros(1, np.int64), *sides, plan, 0, outs)
    found: list = [None] * len(view_set)
    for (_, members), out in zip(view_set.groups(), outs, strict=True):
        for place, v in enumerate(members):
            found[v] = out[place, 0].transpose(1, 2, 0)
    return plan.box[:, 0], found


def picture(out: Path, seed: int = 4) -> None:
    """Draw the picture into a PNG."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    image = load_sample_image("flower.jpg")
    view_set = ViewSet(["simclr", "byol"], crops=2, size=224, shared_crops=True, local=2, crop_scale=(0.2, 0.7))
    boxes, views = draw_views(image, view_set, seed)
    figure = plt.figure(figsize=(12, 4.1), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.06, 1.4))
    axes = left.subplots()
    axes.imshow(image)
    axes.set_title("one image, decoded once; its crop boxes", fontsize=11)
    axes.set_axis_off()
    for crop in sorted({view.crop for view in view_set.views}):
        view = next(i for i, v in enumerate(view_set.views) if v.crop == crop)
        x0, y0, x1, y1 = boxes[view]
        local = view_set.views[view].role == "local"
        style = {"edgecolor": COLOURS[crop % len(COLOURS)], "linewidth": 2.5, "linestyle": "--" if local else "-"}
        axes.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **style))
    right.suptitle("its views: two strategies on every crop (dashed boxes: local crops)", fontsize=11)
    columns = [[v for v in range(len(view_set)) if view_set.views[v].strategy == s] for s in ("simclr", "byol")]
    grid = right.subplots(2, 4)
    for row, members in zip(grid, columns, strict=True):
        for axes, v in zip(row, members, strict=True):
            view = view_set.views[v]
            axes.imshow(views[v])
            axes.set_title(view.name, fontsize=9)
            axes.set_xticks([])
            axes.set_yticks([])
            for side in axes.spines.values():
                side.set(color=COLOURS[view.crop % len(COLOURS)], linewidth=2.5)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=92)
    plt.close(figure)


if __name__ == "__main__":
    picture(Path(sys.argv[1]))
