"""Pictures of strategies: each variant over several samples of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from data_loading.loading.replay import replay_image
from data_loading.strategies import STRATEGIES, Strategy
from data_loading.strategies import strategy as get
from data_loading.views.view_set import ViewSet
from massrl.report.pictures.draw import at_least_one
from massrl.report.pictures.grid import Cell, Row, grid

SMALL, LEAST = 64, 32  # pixels: strategies for views up to SMALL are shown at their own size, but at least at LEAST


def strategies(
    image: np.ndarray,
    samples: int = 6,
    names: Sequence[str | dict | Strategy] | None = None,
    size: int = 96,
    seed: int = 0,
) -> Figure:
    """One row per variant of each strategy, one column per sample, all of one image.

    image: uint8 (H, W, 3).  names: strategies (default: all registered ones).  size: side of a view, pixels.
    """
    names = list(STRATEGIES) if names is None else names
    at_least_one(samples=samples, names=len(names))
    rows = [row for name in names for row in _rows(image, name, samples, size, seed)]
    return grid(rows, cell=0.74, blocks=2 if len(rows) > 4 else 1, above=True)


def strategy(
    image: np.ndarray, which: str | dict | Strategy, samples: int = 7, size: int = 160, seed: int = 0
) -> Figure:
    """One strategy: one row per variant, one column per sample.

    image: uint8 (H, W, 3).  which: a name, {class_path, init_args}, or a Strategy.  size: side of a view, pixels.
    """
    at_least_one(samples=samples)
    return grid(_rows(image, which, samples, size, seed), cell=1.3, above=True)


def _rows(image: np.ndarray, which: str | dict | Strategy, samples: int, size: int, seed: int) -> list[Row]:
    """Rows of one strategy: its variants, then its local view if it has one."""
    one = get(which)
    side = max(one.size, LEAST) if one.size <= SMALL else size
    name = which if isinstance(which, str) else one.name
    own_local = one.local is not None
    views = ViewSet([one], crops=len(one.variants), size=side, local=int(own_local), local_size=max(side * 3 // 7, 1))
    samples_views = [replay_image(image, views, seed, index=index).views for index in range(samples)]
    letters = [f" {chr(ord('a') + v)}" if len(one.variants) > 1 else "" for v in range(len(one.variants))]
    note = STRATEGIES.summary(name) if name in STRATEGIES else ""
    small = f" ({side} px)" if one.size <= SMALL else ""
    return [
        Row(name + end + small, [Cell(views[v]) for views in samples_views], "" if v else note)
        for v, end in enumerate([*letters, *([" local"] if own_local else [])])
    ]
