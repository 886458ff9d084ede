"""Sheet: images, boxes and words on one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from massrl.report.style import WIDE, ink, new_figure

LINE = 2.6  # points: the frame of an image


class Sheet:
    """Images on one pair of axes: a grid of axes would take seconds to lay out.

    width, height: in cells; cell: inches of a cell, less where the sheet would be too wide; head: inches for titles.
    """

    def __init__(self, width: float, height: float, cell: float, head: float, widest: float = WIDE):
        cell = min(cell, widest / width)
        self.figure = new_figure(cell * width, cell * height + head)
        self.figure.set_layout_engine(None)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, -head / cell))
        self.axes.set_axis_off()

    def image(
        self, pixels: np.ndarray, x: float, y: float, frame: str | None = None, side: float = 1.0, dashed: bool = False
    ) -> tuple[float, float, float]:
        """pixels (H, W, 3) in the middle of a square of `side` whose upper left corner is (x, y); frame: a colour.

        Returns left, top and the side of a pixel, for boxes on it.
        """
        rows, columns, _ = pixels.shape
        pixel = side / max(rows, columns)
        left, top = x + (side - columns * pixel) / 2, y + (side - rows * pixel) / 2
        extent = (left, left + columns * pixel, top + rows * pixel, top)
        # small images are shown as what they are: squares, not a blur
        how = "nearest" if max(rows, columns) <= 64 else "antialiased"
        self.axes.imshow(pixels, extent=extent, interpolation=how, aspect="auto")
        self.axes.set_autoscale_on(False)
        if frame:
            self.box((0, 0, columns, rows), (left, top, pixel), frame, dashed)
        return left, top, pixel

    def box(self, box: Sequence[float], on: tuple[float, float, float], colour: str, dashed: bool = False) -> None:
        """box x0, y0, x1, y1 in pixels of an image; on: what `image` returned for it."""
        (x0, y0, x1, y1), (left, top, pixel) = box, on
        style = {"edgecolor": colour, "linewidth": LINE, "linestyle": (0, (2.5, 1.2)) if dashed else "-"}
        corner = left + x0 * pixel, top + y0 * pixel
        self.axes.add_patch(Rectangle(corner, (x1 - x0) * pixel, (y1 - y0) * pixel, fill=False, **style))

    def title(self, x: float, text: str, centre: bool = False) -> None:
        """Text above the images, from x or around it."""
        where = {"ha": "center" if centre else "left", "va": "bottom" if "\n" in text else "baseline"}
        self.axes.text(x, -0.12, text, fontsize=9.5, linespacing=1.25, weight="normal" if centre else "bold", **where)

    def text(self, x: float, y: float, text: str, size: float = 9.5, where: str = "left", **style) -> None:
        """Text on the baseline y; where: "left" (it begins at x), "center" or "right"; size: points."""
        self.axes.text(x, y, text, fontsize=size, ha=where, va="baseline", **{"color": ink("ink"), **style})
