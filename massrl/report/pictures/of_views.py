"""Pictures of view sets: an image with its crop boxes and views, and replays of one plan."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from data_loading.loading.replay import Replay, replay_image
from data_loading.views.view_set import View, ViewSet
from massrl.report.pictures.grid import EDGE, GAP, Cell, Row, fitting, grid, light, width
from massrl.report.sheet import Sheet
from massrl.report.style import CLASSES

ACROSS = 4  # views in a line, at most
ORDER = (3, 2, 0, 1, 4, 5, 9, 6, 8, 7)  # indices into CLASSES, the most different colours first


@light
def view_set(
    image: np.ndarray,
    which: str | dict | ViewSet,
    seed: int = 0,
    epoch: int = 0,
    index: int = 0,
    size: int | None = None,
) -> Figure:
    """An image with its crop boxes, and all its views framed in the colour of their box; local views are dashed.

    image: uint8 (H, W, 3).  which: a view set, its name, or a strategy's.  seed, epoch, index: of the plan, as in a
    loader with `seed` for row `index`.  size: side of the global views in pixels (default: the view set's).
    """
    drawn = replay_image(image, which, seed, epoch, index, size)
    lines = _lines(drawn.view_set)
    across = max(map(len, lines))
    cell = min(1.5, 6.2 / across)
    head, line = 0.34, cell + 0.3
    wide = 4.5 * min(1.0, image.shape[1] / image.shape[0])
    tall = wide * image.shape[0] / image.shape[1]
    crops = len({view.crop for view in drawn.view_set.views})
    heading = f"epoch {epoch}: the image and its {'crop box' if crops == 1 else f'{crops} crop boxes'}"
    left = EDGE + max(wide, width(heading, 10)) + 0.25
    height = head + max(tall, len(lines) * line - 0.08) + EDGE
    sheet = Sheet(left + max(across * (cell + GAP) - GAP, 1.6) + EDGE, height, 1.0, 0.0, np.inf)
    side = max(wide, tall)
    on = sheet.image(image, EDGE - (side - wide) / 2, head - (side - tall) / 2, side=side)
    sheet.text(EDGE, 0.24, heading, 10)
    for v, view in sorted(enumerate(drawn.view_set.views), key=lambda item: item[1].role == "local"):
        sheet.box(drawn.plan.box[v, 0], on, colour_of(view), view.role == "local")
    sheet.text(left, 0.24, "its views" + (" (dashed: local)" if drawn.view_set.local else ""), 10)
    names = [row["strategy"] for row in drawn.plan.rows(drawn.view_set, 0)]
    for r, members in enumerate(lines):
        for c, v in enumerate(members):
            view = drawn.view_set.views[v]
            x, y = left + c * (cell + GAP), head + 0.22 + r * line
            label = view.name.replace("drawn", names[v], 1) if drawn.view_set.assign == "drawn" else view.name
            sheet.text(x + cell / 2, y - 0.06, label, fitting(label, 8.5, cell), "center")
            sheet.image(drawn.views[v], x, y, colour_of(view), cell, view.role == "local")
    return sheet.figure


def _lines(views: ViewSet) -> list[list[int]]:
    """Indices of the views in each line of the picture, at most ACROSS per line.

    Each strategy begins a line; with more than two strategies a line may hold several.
    """
    groups: dict[str, list[int]] = {}
    for v, view in enumerate(views.views):
        groups.setdefault(view.name.rpartition(".")[0], []).append(v)
    lines: list[list[int]] = []
    for part in (group[at : at + ACROSS] for group in groups.values() for at in range(0, len(group), ACROSS)):
        if lines and len(groups) > 2 and len(lines[-1]) + len(part) <= ACROSS:
            lines[-1] += part
        else:
            lines.append(part)
    return lines


def colour_of(view: View) -> str:
    """Colour of a view's frame and box; views of one crop share it."""
    return CLASSES[ORDER[view.crop % len(ORDER)]]


def replay(image: np.ndarray, which: str | dict | ViewSet = "massrl", seed: int = 0, size: int | None = 128) -> Figure:
    """Views of a sample rendered twice from one (seed, epoch, sample), then with another epoch, sample and seed.

    image: uint8 (H, W, 3).  The note of each row counts the views that equal those of the first row in every pixel.
    """
    keys = [(seed, 0, 0), (seed, 0, 0), (seed, 1, 0), (seed, 0, 1), (seed + 1, 0, 0)]
    drawn = [replay_image(image, which, *key, size) for key in keys]
    rows = [Row("rendered", _cells(drawn[0]), _key(*keys[0]))]
    for name, key, one in zip(("again", "epoch", "sample", "seed"), keys[1:], drawn[1:], strict=True):
        same = sum(np.array_equal(a, b) for a, b in zip(drawn[0].views, one.views, strict=True))
        note = f"{_key(*key)}\n{same} of {len(one.views)} views equal"
        rows.append(Row("rendered again" if name == "again" else f"another {name}", _cells(one), note))
    return grid(rows, [view.name for view in drawn[0].view_set.views])


def _key(seed: int, epoch: int, sample: int) -> str:
    """The key of a replay as text."""
    return f"seed {seed}, epoch {epoch}, sample {sample}"


def _cells(drawn: Replay) -> list[Cell]:
    """The views of a replay with frames in the colours of their crops."""
    return [
        Cell(pixels, frame=colour_of(view), dashed=view.role == "local")
        for view, pixels in zip(drawn.view_set.views, drawn.views, strict=True)
    ]
