"""Bar chart of the loaders: one panel per work and number of workers, one bar per peer, our bar in another colour."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from data_loading.bench.peers import BOUND, OURS
from data_loading.bench.timing import Row, ratio

INK, OUR_COLOUR, PEER_COLOUR = "#222222", "#c4401c", "#9aa5b1"
COLUMNS = 3  # panels side by side, at most


def png(rows: Sequence[Row]) -> bytes:
    """The rows as the bytes of a PNG; bars are medians in images/s, whiskers span the middle half of the rounds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row.work, row.workers) for row in rows))
    if not panels:
        panels = [("nothing was measured", 0)]
    across = min(COLUMNS, len(panels))
    down = -(-len(panels) // across)
    most = max([sum((row.work, row.workers) == panel for row in rows) for panel in panels] + [1])
    figure = Figure(figsize=(4.4 * across, (0.9 + 0.27 * most) * down), layout="constrained", dpi=150)
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axis, panel in zip(grid, panels, strict=False):
        _panel(axis, panel, [row for row in rows if (row.work, row.workers) == panel])
    for axis in grid[len(panels) :]:
        axis.set_axis_off()
    out = io.BytesIO()
    canvas.print_png(out)
    return out.getvalue()


def _panel(axis, panel: tuple[str, int], rows: list[Row]) -> None:
    bound = next((row for row in rows if row.peer == BOUND), None)  # told in the title: its bar would be far longer
    rows = sorted([row for row in rows if row is not bound], key=lambda row: row.images_per_s)
    ours = next((row for row in rows if row.peer == OURS), None)
    colours = [OUR_COLOUR if row is ours else PEER_COLOUR for row in rows]
    rates = np.array([row.images_per_s for row in rows])
    quarter = np.array([np.quantile(row.rates, [0.25, 0.75]) for row in rows]).reshape(-1, 2)
    whiskers = np.abs(quarter.T - rates)
    axis.barh(range(len(rows)), rates, color=colours, xerr=whiskers, error_kw={"ecolor": INK, "elinewidth": 0.8})
    axis.set_yticks(range(len(rows)), [row.peer for row in rows], fontsize=8)
    end = rates.max() if len(rates) else 1.0
    for at, row in enumerate(rows):
        times = ""
        if ours is not None and row is not ours:
            times = f"  (massrl x {ratio(ours.rates, row.rates)[0]:.1f})"
        reach = max(row.images_per_s, quarter[at, 1])
        axis.text(reach + 0.02 * end, at, f"{row.images_per_s:,.0f}{times}", va="center", fontsize=8, color=INK)
    axis.set_xlim(0, 1.45 * end)
    axis.set_xticks([])
    title = f"{panel[0]}: images/s, {panel[1]} worker{'s' * (panel[1] != 1)}"
    title += f" (decoding alone: {bound.images_per_s:,.0f})" if bound is not None else ""
    axis.set_title(title, fontsize=9, loc="left")
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
