"""Pictures of ops: all ops over a range of their parameters, and one op in detail."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from data_loading.ops import CenterCrop, Op
from massrl.report.pictures.draw import at_least_one, run_each
from massrl.report.pictures.grid import Cell, Row, grid
from massrl.report.pictures.ranges import always, made, range_of, view_ops


def ops(image: np.ndarray, n: int = 5, size: int = 96, seed: int = 0) -> Figure:
    """Every registered op and crop: one row over n values of its parameter, then the ops without a parameter.

    image: uint8 (H, W, 3).  size: side of a view, pixels.  seed: of an op's random numbers, for example the position of
    a rectangle; they are equal along a row.
    """
    at_least_one(n=n)
    names = view_ops()
    ranged = [over_range(image, name, n, size, seed) for name in names if range_of(name)]
    plain = [name for name in names if not range_of(name)]
    cells = [
        Cell(v, name) for name, v in zip(plain, run_each(image, [always(p) for p in plain], size, seed), strict=True)
    ]
    rest = [Row("" if at else "no parameter", cells[at : at + n]) for at in range(0, len(cells), n)]
    return grid([*ranged, *rest], cell=0.78, blocks=2)


def op(image: np.ndarray, name: str, n: int = 6, size: int = 160, seed: int = 0, **arguments: Any) -> Figure:
    """One op: the image, the op over n values of its parameter, and n random samples with the default parameters.

    image: uint8 (H, W, 3).  name: a registered op or crop, or the class_path of your own.  arguments: of the op, for
    example axis="y" or interpolation="bilinear".  Raises a UserError for a wrong name or argument.
    """
    at_least_one(n=n)
    one = made(name, **arguments)
    before = Cell(run_each(image, [CenterCrop(1.0)], size)[0], "image")
    views = [run_each(image, [one], size, seed, index)[0] for index in range(n)]
    samples = [Cell(view, f"sample {index}") for index, view in enumerate(views)]
    rows = [Row("samples", [before, *samples], f"with p {one.p:g}" if isinstance(one, Op) else "")]
    if range_of(name):
        values = over_range(image, name, n, size, seed, **arguments)
        rows = [values._replace(name="values", cells=[before, *values.cells]), *rows]
    words = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    about = (inspect.getdoc(type(one)) or "").partition("\n")[0]
    return grid(rows, heading=f"{type(one).__name__}({words})", note=about, cell=1.15)


def over_range(image: np.ndarray, name: str, n: int, size: int, seed: int = 0, **arguments: Any) -> Row:
    """A row with the op at n values of its parameter, applied with probability 1."""
    shown = range_of(name)
    values = shown.values(n)
    views = run_each(image, [always(name, **{**arguments, **shown.arguments(v)}) for v in values], size, seed)
    return Row(name, [Cell(view, f"{v:.3g}") for view, v in zip(views, values, strict=True)], shown.argument)
