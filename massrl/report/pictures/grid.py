"""Grids of captioned images, the layout of most pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from massrl.report.sheet import Sheet
from massrl.report.style import LIGHT, ink, rc

GAP, BLOCK_GAP, EDGE = 0.06, 0.34, 0.08  # inches between images, between blocks, around the grid
BEHIND, LINE = 0.12, 0.145  # inches between a name and its note, and between lines of a note
HEADING, NAME, NOTE = 11, 9.5, 8  # points
RULER = RendererAgg(1, 1, 72)  # measures text; at 72 dpi a pixel is a point


class Cell(NamedTuple):
    """An image uint8 (H, W, 3), its caption, and the colour of its frame (None: no frame)."""

    pixels: np.ndarray
    caption: str = ""
    frame: str | None = None
    dashed: bool = False


class Row(NamedTuple):
    """A row of images with its name and a note in smaller type, left of the images or above them."""

    name: str
    cells: Sequence[Cell]
    note: str = ""


def light(plot):
    """Decorator: plot a figure in the light theme, whatever matplotlib's settings are."""

    @wraps(plot)
    def plotted(*args, **kwargs):
        with matplotlib.rc_context(rc(LIGHT)):
            return plot(*args, **kwargs)

    return plotted


@light
def grid(
    rows: Sequence[Row],
    titles: Sequence[str] = (),
    heading: str = "",
    note: str = "",
    cell: float = 1.0,
    blocks: int = 1,
    above: bool = False,
) -> Figure:
    """Plot rows of images in `blocks` columns of rows.

    titles: of the columns of images.  heading: of the figure; note: in smaller type after the heading.  cell: side of
    an image, inches.  above: write names above their row instead of left of it; notes are then wrapped.
    """
    columns = max(len(row.cells) for row in rows)
    caption = 0.15 if any(one.caption for row in rows for one in row.cells) else 0.0
    per_block = -(-len(rows) // blocks)
    parts = [rows[at : at + per_block] for at in range(0, len(rows), per_block)]
    wide = columns * (cell + GAP) - GAP
    if above:
        wide = max(wide, *(width(row.name, NAME, "bold") for row in rows))
    lefts = [0.0 if above else max(map(_width, part)) + 0.12 for part in parts]  # width of the names
    starts = [EDGE + sum(lefts[:b]) + b * (wide + GAP + BLOCK_GAP) for b in range(len(lefts))]
    right = max(starts[-1] + lefts[-1] + wide, EDGE + width(heading, HEADING, "bold"))
    about = run_in(heading, HEADING, note, right - EDGE) if heading else []
    top = EDGE + (0.3 + LINE * (len(about) - 1) if heading else 0.0) + (0.22 if titles else 0.0)
    notes = [[run_in(row.name, NAME, row.note, wide) if above else [] for row in part] for part in parts]
    names = [[0.24 + LINE * (len(lines) - 1) if above else 0.0 for lines in part] for part in notes]
    tall = max(sum(part) + len(part) * (cell + caption + GAP) for part in names)
    sheet = Sheet(right + EDGE, top + tall + EDGE, 1.0, 0.0, np.inf)
    if heading:
        _named(sheet, EDGE, 0.27, heading, HEADING, about)
    for part, x, left, rooms, lines in zip(parts, starts, lefts, names, notes, strict=True):
        for c, title in enumerate(titles):
            sheet.text(x + left + c * (cell + GAP) + cell / 2, top - 0.07, title, fitting(title, 9, cell), "center")
        y = top
        for row, room, words in zip(part, rooms, lines, strict=True):
            if above:
                _named(sheet, x, y + 0.17, row.name, NAME, words)
            else:
                _beside(sheet, row, x + left - 0.12, y + cell / 2)
            y += room
            for c, one in enumerate(row.cells):
                x0 = x + left + c * (cell + GAP)
                sheet.image(one.pixels, x0, y, one.frame, cell, one.dashed)
                size = fitting(one.caption, 8, cell)
                sheet.text(x0 + cell / 2, y + cell + 0.12, one.caption, size, "center", color=ink("muted"))
            y += cell + caption + GAP
    return sheet.figure


def _width(row: Row) -> float:
    """Width in inches of a row's name and note, written left of the images."""
    return max(width(row.name, NAME, "bold"), *(width(note, NOTE) for note in row.note.split("\n")))


def width(text: str, size: float, weight: str = "normal") -> float:
    """Width in inches of a text of `size` points."""
    font = FontProperties(family="DejaVu Sans", weight=weight, size=size)
    return RULER.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fitting(text: str, size: float, room: float) -> float:
    """The largest font size in points, at most `size`, at which the text is at most `room` inches wide."""
    return min(size, size * room / max(width(text, size), 1e-6))


def run_in(name: str, size: float, note: str, room: float) -> list[str]:
    """Wrap a note into lines of at most `room` inches. The first follows the bold name; it is "" if no word fits."""
    lines, left = [""], room - width(name, size, "bold") - BEHIND
    for word in note.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer, NOTE) <= left:
            lines[-1] = longer
        else:
            lines.append(word)
            left = room
    return lines


def _named(sheet: Sheet, x: float, y: float, name: str, size: float, lines: Sequence[str]) -> None:
    """Write a bold name at (x, y), followed by the lines of its note."""
    sheet.text(x, y, name, size, weight="bold")
    for at, line in enumerate(lines):
        begin = x if at else x + width(name, size, "bold") + BEHIND
        sheet.text(begin, y + at * LINE, line, NOTE, color=ink("muted"))


def _beside(sheet: Sheet, row: Row, right: float, middle: float) -> None:
    """Write a row's name and note left of its images, right-aligned at `right` and centred at height `middle`."""
    notes = [note for note in row.note.split("\n") if note]
    y = middle + 0.05 - 0.075 * len(notes)
    sheet.text(right, y, row.name, NAME, "right", weight="bold")
    for line, note in enumerate(notes, 1):
        sheet.text(right, y + 0.15 * line, note, NOTE, "right", color=ink("muted"))
