"""Sheet: images, boxes and text on one matplotlib axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle

from massrl.report.style import WIDE, ink, new_figure

LINE = 2.6  # width of a frame, points


class Sheet:
    """A grid of images on one axes; many axes would take seconds to lay out.

    width, height: of the grid, in cells.  cell: side of a cell in inches, reduced if the sheet would be wider than
    `widest` inches.  head: inches above the grid for titles. Coordinates are in cells, y downwards.
    """

    def __init__(self, width: float, height: float, cell: float, head: float, widest: float = WIDE):
        cell = self.cell = min(cell, widest / width)
        self.figure = new_figure(cell * width, cell * height + head)
        self.figure.set_layout_engine(None)
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, -head / cell))
        self.axes.set_axis_off()

    def image(
        self, pixels: np.ndarray, x: float, y: float, frame: str | None = None, side: float = 1.0, dashed: bool = False
    ) -> tuple[float, float, float]:
        """Show an image, centred in a square of `side` cells whose upper left corner is (x, y).

        pixels: (H, W, 3) uint8 or float in 0..1.  frame: a colour, or None.
        Returns left, top and the side of a pixel, in cells, for `box`.
        """
        rows, columns, _ = pixels.shape
        pixel = side / max(rows, columns)
        left, top = x + (side - columns * pixel) / 2, y + (side - rows * pixel) / 2
        extent = (left, left + columns * pixel, top + rows * pixel, top)
        # show the pixels of small images as squares
        how = "nearest" if max(rows, columns) <= 64 else "antialiased"
        self.axes.imshow(pixels, extent=extent, interpolation=how, aspect="auto")
        self.axes.set_autoscale_on(False)
        if frame:
            self.box((0, 0, columns, rows), (left, top, pixel), frame, dashed)
        return left, top, pixel

    def box(self, box: Sequence[float], on: tuple[float, float, float], colour: str, dashed: bool = False) -> None:
        """Outline a box, x0, y0, x1, y1 in pixels of an image; on: what `image` returned for that image."""
        (x0, y0, x1, y1), (left, top, pixel) = box, on
        style = {"edgecolor": colour, "linewidth": LINE, "linestyle": (0, (2.5, 1.2)) if dashed else "-"}
        corner = left + x0 * pixel, top + y0 * pixel
        self.axes.add_patch(Rectangle(corner, (x1 - x0) * pixel, (y1 - y0) * pixel, fill=False, **style))

    def title(self, x: float, text: str, centre: bool = False, size: float = 9.5) -> None:
        """Write text above the grid, left-aligned at x in bold, or centred at x; size: points."""
        where = {"ha": "center" if centre else "left", "va": "bottom" if "\n" in text else "baseline"}
        self.axes.text(x, -0.12, text, fontsize=size, linespacing=1.25, weight="normal" if centre else "bold", **where)

    def text(self, x: float, y: float, text: str, size: float = 9.5, where: str = "left", **style) -> None:
        """Write text with baseline y; where: alignment at x, "left", "center" or "right"; size: points."""
        self.axes.text(x, y, text, fontsize=size, ha=where, va="baseline", **{"color": ink("ink"), **style})
