"""Views of an image without a file, as the loader draws them."""

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
    """image uint8 (H, W, 3) -> boxes (V, 4) in pixels, and V views uint8 (S, S, 3), as the loader draws row `index`."""
    drawn = replay_image(image, view_set, seed, epoch, index)
    return drawn.plan.box[:, 0], drawn.views


def run_each(image: np.ndarray, changes: list[Op | Crop], size: int, seed: int = 0, index: int = 0) -> list[np.ndarray]:
    """One view uint8 (size, size, 3) for each op or crop: an op is applied to the square at the image's centre."""
    square = CenterCrop(1.0)
    alone = [
        Strategy("op", [[]], crop=one) if isinstance(one, Crop) else Strategy("op", [[one]], crop=square)
        for one in changes
    ]
    views = draw_views(image, ViewSet(alone, crops=1, size=size), seed, index=index)[1]
    for v, one in enumerate(changes):
        if isinstance(
            one, Pad
        ):  # keeps the image's scale: a photograph is shrunk first, else its corner is all one sees
            small = shrunk(image, max(size * 2 // 3, 1))
            views[v] = draw_views(small, ViewSet([alone[v]], crops=1, size=size), seed, index=index)[1][0]
    return views


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """image uint8 (H, W, 3) with its longer side of at most `side` pixels."""
    small = Image.fromarray(image)
    small.thumbnail((side, side))
    return np.asarray(small)


def at_least_one(**counts: int) -> None:
    """ConfigError where a picture would show nothing: a count below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"{name} is {count}; a picture shows at least one")
