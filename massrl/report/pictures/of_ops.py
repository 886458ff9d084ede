"""Ops: all of them over a range of their parameters, and one in detail."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from data_loading.errors import ViewError
from data_loading.ops import OPS, Crop
from data_loading.replay import replay_image
from data_loading.strategies import Strategy
from data_loading.views import ViewSet
from massrl.report.pictures.draw import run_each
from massrl.report.pictures.grid import Cell, Row, grid
from massrl.report.pictures.ranges import made, range_of, view_ops


def ops(image: np.ndarray, n: int = 5, size: int = 96, seed: int = 0) -> Figure:
    """Every registered op of a view: a row each over n values of its parameter; then those without one.

    image: uint8 (H, W, 3).  size: side of a view, pixels.  seed: of what an op draws, as the place of a rectangle;
    along a row the draws are the same.
    """
    names = view_ops()
    ranged = [over_range(image, name, n, size, seed) for name in names if range_of(name)]
    plain = [name for name in names if not range_of(name)]
    cells = [
        Cell(v, name) for name, v in zip(plain, run_each(image, [made(p) for p in plain], size, seed), strict=True)
    ]
    rest = [Row("" if at else "no parameter", cells[at : at + n]) for at in range(0, len(cells), n)]
    return grid([*ranged, *rest], cell=0.78, blocks=2)


def op(image: np.ndarray, name: str, n: int = 6, size: int = 160, seed: int = 0, **arguments: Any) -> Figure:
    """One op: the image, the op over n values of its parameter, and n samples as its defaults draw them.

    arguments: of the op, as axis="y" or interpolation="bilinear".  A wrong name or argument is a UserError.
    """
    kind = OPS[name]
    if name not in view_ops():
        raise ViewError(
            f"{name} is not shown: it is no op of a view, or has no defaults; choose {', '.join(view_ops())}"
        )
    before = run_each(image, [made("CenterCrop", ratio=1.0)], size)[0]
    crop = issubclass(kind, Crop)
    recipe = {"crop": kind(**arguments)} if crop else {"crop": made("CenterCrop", ratio=1.0)}
    alone = ViewSet([Strategy(name, [[] if crop else [kind(**arguments)]], **recipe)], crops=1, size=size)
    drawn = [replay_image(image, alone, seed, index=index).views[0] for index in range(n)]
    first = over_range(image, name, n, size, seed, **arguments) if range_of(name) else None
    rows = [
        *([first._replace(name="values", cells=[Cell(before, "image"), *first.cells])] if first else []),
        Row(
            "samples",
            [Cell(before, "image"), *(Cell(v, f"sample {i}") for i, v in enumerate(drawn))],
            _odds(kind, arguments),
        ),
    ]
    words = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return grid(rows, heading=f"{name}({words})", note=OPS.summary(name), cell=1.15)


def over_range(image: np.ndarray, name: str, n: int, size: int, seed: int = 0, **arguments: Any) -> Row:
    """The op at n values of its parameter."""
    shown = range_of(name)
    values = shown.values(n)
    views = run_each(image, [made(name, **{**arguments, **shown.arguments(v)}) for v in values], size, seed)
    return Row(name, [Cell(view, f"{v:.3g}") for view, v in zip(views, values, strict=True)], shown.argument)


def _odds(kind: type, arguments: dict) -> str:
    return "" if issubclass(kind, Crop) else f"with p {kind(**arguments).p:g}"
