"""Rows of images with words: the form of most pictures."""

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

GAP, BLOCK_GAP, EDGE = 0.06, 0.34, 0.08  # inches between images, between blocks, round all
RULER = RendererAgg(1, 1, 72)  # a pixel is a point


class Cell(NamedTuple):
    """An image uint8 (H, W, 3), the words below it, and the colour of its frame."""

    pixels: np.ndarray
    caption: str = ""
    frame: str | None = None
    dashed: bool = False


class Row(NamedTuple):
    """A row of images, its name and a note in smaller letters; where the images stand in lines, both are above them."""

    name: str
    cells: Sequence[Cell]
    note: str = ""


def light(draw):
    """Draw a figure in the light theme, wherever it is called from."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        with matplotlib.rc_context(rc(LIGHT)):
            return draw(*args, **kwargs)

    return drawn


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
    """Rows of images, in `blocks` side by side.

    titles: of the columns.  note: in smaller letters behind the heading.  cell: side of an image, inches.
    above: names stand above their row, not left of it.
    """
    columns = max(len(row.cells) for row in rows)
    caption = 0.15 if any(one.caption for row in rows for one in row.cells) else 0.0
    name = 0.24 if above else 0.0
    step = name + cell + caption + GAP
    tall = -(-len(rows) // blocks)
    begins = range(0, len(rows), tall)
    lefts = [0.0 if above else max(map(_width, rows[at : at + tall])) + 0.12 for at in begins]  # room for the names
    wide = columns * (cell + GAP)
    starts = [EDGE + sum(lefts[:b]) + b * (wide + BLOCK_GAP) for b in range(len(lefts))]
    right = starts[-1] + lefts[-1] + wide - GAP
    top = EDGE + (0.3 if heading else 0.0) + (0.22 if titles else 0.0)
    right = max(right, EDGE + width(heading, 11, "bold"))
    sheet = Sheet(right + EDGE, top + tall * step + EDGE, 1.0, 0.0, np.inf)
    if heading:
        sheet.text(EDGE, 0.27, heading, 11, weight="bold")
        begin = EDGE + width(heading, 11, "bold") + 0.15
        sheet.text(begin, 0.27, _shortened(note, right - begin), 8, color=ink("muted"))
    for at, row in enumerate(rows):
        left = lefts[at // tall]
        x, y = starts[at // tall], top + at % tall * step
        for c, title in enumerate(titles if at % tall == 0 else ()):
            sheet.text(x + left + c * (cell + GAP) + cell / 2, y - 0.07, title, fitting(title, 9, cell), "center")
        if above:
            sheet.text(x, y + 0.17, row.name, weight="bold")
            note = _shortened(row.note, wide - GAP - width(row.name, 9.5, "bold") - 0.15)
            sheet.text(x + wide - GAP, y + 0.17, note, 8, "right", color=ink("muted"))
        else:
            _beside(sheet, row, x + left - 0.12, y + cell / 2)
        for c, one in enumerate(row.cells):
            x0 = x + left + c * (cell + GAP)
            sheet.image(one.pixels, x0, y + name, one.frame, cell, one.dashed)
            size = fitting(one.caption, 8, cell)
            sheet.text(x0 + cell / 2, y + name + cell + 0.12, one.caption, size, "center", color=ink("muted"))
    return sheet.figure


def _width(row: Row) -> float:
    return max(width(row.name, 9.5, "bold"), *(width(note, 8) for note in row.note.split("\n")))


def width(text: str, size: float, weight: str = "normal") -> float:
    """Of a text of `size` points, inches."""
    font = FontProperties(family="DejaVu Sans", weight=weight, size=size)
    return RULER.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fitting(text: str, size: float, room: float) -> float:
    """The size, points, at which a text takes at most `room` inches: `size`, or less."""
    return min(size, size * room / max(width(text, size), 1e-6))


def _shortened(text: str, room: float) -> str:
    """The text where it fits into `room` inches, else its first words."""
    words = text.split()
    while words and width(" ".join(words) + " ...", 8) > room:
        words.pop()
    return text if width(text, 8) <= room else " ".join(words) + " ..." if words else ""


def _beside(sheet: Sheet, row: Row, right: float, middle: float) -> None:
    notes = [note for note in row.note.split("\n") if note]
    y = middle + 0.05 - 0.075 * len(notes)
    sheet.text(right, y, row.name, 9.5, "right", weight="bold")
    for line, note in enumerate(notes, 1):
        sheet.text(right, y + 0.15 * line, note, 8, "right", color=ink("muted"))
