"""Replay: the views of a sample as a past run saw them, rendered from the run's seed and view set alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.kernel.rng import checked_seed
from data_loading.render.numba_renderer import Renderer
from data_loading.views import growing, view_sets
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet


class Replay(NamedTuple):
    """image: the decoded pixels, uint8 (H, W, 3); views: V arrays uint8 (S, S, 3); plan: of this sample, B = 1."""

    view_set: ViewSet
    image: np.ndarray
    views: list[np.ndarray]
    plan: Plan


def replay_views(
    path: str | Path | Sequence[str | Path],
    views: str | dict[str, Any] | ViewSet,
    seed: int,
    epoch: int,
    index: int,
    size: growing.Size = None,
) -> Replay:
    """The views that a Loader of `path` with this seed rendered of row `index` in `epoch` (from 0).

    views, size: as of the Loader. ConfigError where the file has no such row.
    """
    file = sources.as_beton(path)
    with Reader(file) as reader:
        if not 0 <= index < len(reader):
            raise ConfigError(f"index is {index}; {reader.path} has the samples 0 to {len(reader) - 1}")
        image = reader.value(reader.image_field, index)
    return replay_image(image, views, seed, epoch, index, size)


def replay_image(
    image: np.ndarray,
    views: str | dict[str, Any] | ViewSet,
    seed: int = 0,
    epoch: int = 0,
    index: int = 0,
    size: growing.Size = None,
) -> Replay:
    """The views that a Loader with this seed would render in `epoch` of an image uint8 (H, W, 3) stored as row `index`.

    ConfigError where `image` is no such array.
    """
    _check(image)
    view_set = view_sets.get(views, growing.at(size, checked_seed(epoch, "epoch")))
    height, width, _ = image.shape
    sides = np.array([height]), np.array([width])
    plan = Drawer(view_set, checked_seed(seed))(checked_seed(epoch, "epoch"), np.array([index]), *sides)
    outs = [np.empty((len(members), 1, 3, side, side), np.uint8) for side, members in view_set.groups()]
    pixels = np.ascontiguousarray(image).reshape(-1)
    Renderer(view_set, max(height, width), None)(pixels, np.zeros(1, np.int64), *sides, plan, 0, outs)
    rendered: dict[int, np.ndarray] = {}
    for (_, members), out in zip(view_set.groups(), outs, strict=True):
        rendered |= {v: out[i, 0].transpose(1, 2, 0) for i, v in enumerate(members)}
    return Replay(view_set, image, [rendered[v] for v in range(len(view_set))], plan)


def _check(image: np.ndarray) -> None:
    fits = isinstance(image, np.ndarray) and image.dtype == np.uint8
    if not fits or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else f"a {type(image).__name__}"
        raise ConfigError(f"image is {found}; give it as a NumPy array uint8 (height, width, 3), its channels RGB")
