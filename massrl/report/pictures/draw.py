"""Render views of an image in memory, as the loader renders them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_loading.errors import ConfigError
from data_loading.loading.replay import replay_image
from data_loading.ops import CenterCrop, Crop, Op, Pad
from data_loading.strategies import Strategy
from data_loading.views.view_set import ViewSet


def draw_views(
    image: np.ndarray, view_set: str | dict | ViewSet, seed: int = 0, epoch: int = 0, index: int = 0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Render the views of an image as a loader with `seed` renders them for row `index` in `epoch`.

    image: uint8 (H, W, 3).  Returns crop boxes (V, 4), x0, y0, x1, y1 in pixels, and V views uint8 (S, S, 3).
    """
    replayed = replay_image(image, view_set, seed, epoch, index)
    return replayed.plan.box[:, 0], replayed.views


def run_each(image: np.ndarray, changes: list[Op | Crop], size: int, seed: int = 0, index: int = 0) -> list[np.ndarray]:
    """One view uint8 (size, size, 3) for each op or crop; an op is applied to the central square of the image.

    image: uint8 (H, W, 3).  seed, index: of the random numbers.
    """
    square = CenterCrop(1.0)
    alone = [
        Strategy("op", [[]], crop=one) if isinstance(one, Crop) else Strategy("op", [[one]], crop=square)
        for one in changes
    ]
    views = draw_views(image, ViewSet(alone, crops=1, size=size), seed, index=index)[1]
    for v, one in enumerate(changes):
        if isinstance(one, Pad):  # keeps the scale of the image: shrink it first, or only its corner is visible
            small = shrunk(image, max(size * 2 // 3, 1))
            views[v] = draw_views(small, ViewSet([alone[v]], crops=1, size=size), seed, index=index)[1][0]
    return views


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """The image, uint8 (H, W, 3), resized so that its longer side has at most `side` pixels."""
    small = Image.fromarray(image)
    small.thumbnail((side, side))
    return np.asarray(small)


def at_least_one(**counts: int) -> None:
    """Raise ConfigError when a count is below 1, so that a picture would show nothing."""
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}; a picture shows at least one")
