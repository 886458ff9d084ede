"""Plots of the report: loss curve, views, feature map, neighbours, accuracies. Each function returns a Figure.

They take arrays and use the current theme; `style.save` writes a plot in the light and in the dark theme.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from threadpoolctl import threadpool_limits

from data_loading.batch import Batch
from massrl.evaluation.table import BASELINES, HEADINGS
from massrl.report.sheet import Sheet
from massrl.report.style import CLASSES, COLOURS, GREYS, RIGHT, WIDE, WRONG, ink, new_figure

ONLINE = {  # columns of metrics.csv that are accuracies
    "knn": "kNN",
    "linear": "linear probe",
    "val_knn": "kNN, validation",
    "val_linear": "linear probe, validation",
    "val_accuracy": "own classifier, validation",
}
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))
MANY_CLASSES = 20


def loss_curve(runs: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Plot the loss of each run over epochs, and in a last panel the online accuracies if they were logged.

    runs: name -> columns of metrics.csv, float64 (rows,), NaN for an empty cell, with "epoch" and "step".
    """
    online = [c for c in ONLINE if any(c in columns for columns in runs.values())]
    panels = len(runs) + bool(online)
    figure = new_figure(min(WIDE, max(5.2, 3.9 * panels)), 3.1)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for at, (axis, (name, columns)) in enumerate(zip(axes, runs.items(), strict=False)):
        x, y = _known(columns, "loss")
        colour = COLOURS[at % len(COLOURS)]
        axis.plot(x, y, color=colour, alpha=0.28, linewidth=1)
        axis.plot(x, _smooth(y), color=colour)
        axis.set(title=f"{name}: loss", xlabel="epoch")
    if online:
        axis = axes[-1]
        for at, (name, columns) in enumerate(runs.items()):
            for column, dash in zip(online, DASHES, strict=False):
                if column in columns:
                    x, y = _known(columns, column)
                    axis.plot(
                        x, 100 * y, color=COLOURS[at % len(COLOURS)], linestyle=dash, label=f"{name}, {ONLINE[column]}"
                    )
        axis.set(title="Online accuracy, %", xlabel="epoch", ylim=(0, 100))
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower right", ncols=4, fontsize=9)
    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def health_curves(
    runs: Mapping[str, Mapping[str, np.ndarray]],
    titles: Mapping[str, str],
    limits: Mapping[str, float],
    from_zero: Container[str] = (),
) -> Figure:
    """Plot measures over epochs, a panel each, a line for each run; a dotted line where `limits` has a value.

    runs: as of `loss_curve`.  titles: column -> title of its panel.  from_zero: columns whose panels begin at 0, as
    those with a limit do.
    """
    columns = 3 if len(titles) in (3, 5, 6, 9) else min(4, len(titles))  # no row of one panel below a full one
    rows = -(-len(titles) // columns)
    figure = new_figure(min(WIDE, 3.2 * columns + 0.5), 2.5 * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes[len(titles) :]:
        axis.set_visible(False)
    for axis, (measure, title) in zip(axes, titles.items(), strict=False):
        for at, (name, logged) in enumerate(runs.items()):
            x, y = _known(logged, measure)
            axis.plot(x, y, color=COLOURS[at % len(COLOURS)], alpha=0.28, linewidth=1)
            axis.plot(x, _smooth(y), color=COLOURS[at % len(COLOURS)], label=name)
        if measure in limits:
            axis.axhline(limits[measure], color=WRONG, linestyle=":", linewidth=1.2)
        if measure in limits or measure in from_zero:
            axis.set_ylim(bottom=0)
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    if len(runs) > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=9)
    return figure


def _known(columns: Mapping[str, np.ndarray], name: str) -> tuple[np.ndarray, np.ndarray]:
    """(epoch, value), float64 (n,) each, of the rows in which `name` was logged; epochs are fractional."""
    if name not in columns:
        return np.zeros(0), np.zeros(0)
    step, epoch = columns["step"] + 1, columns["epoch"]
    rows = np.isfinite(columns[name])
    done = np.isfinite(step) & np.isfinite(epoch)
    # Steps of an epoch: of those that are complete, as near as they were logged; one that has just begun has fewer.
    per_epoch = (step[done] / (epoch[done] + 1)).max() if done.any() else 1.0
    return step[rows] / per_epoch, columns[name][rows]


def _smooth(y: np.ndarray, share: float = 0.04) -> np.ndarray:
    """Running mean of y (n,) over a window of 2 * share * n + 1 values, truncated at the ends; unchanged for n < 5."""
    width = max(1, round(share * len(y)))
    kernel = np.ones(min(2 * width + 1, max(len(y), 1)))
    if len(y) < 5:
        return y
    return np.convolve(y, kernel, "same") / np.convolve(np.ones_like(y), kernel, "same")


def views_grid(
    batch: Batch, mean: Sequence[float], std: Sequence[float], originals: np.ndarray | None = None, images: int = 5
) -> Figure:
    """Plot the views of the first `images` images of a batch: one row per image, one column per view.

    batch: views normalised by mean and std (of pixels in 0..1).  originals: uint8 (B, H, W, 3), shown first.
    """
    rows = min(images, len(batch))
    columns = [] if originals is None else [("image", originals[:rows])]
    for view, block in zip(batch.layout, batch.views, strict=True):
        pixels = block[:rows].float().cpu().numpy().transpose(0, 2, 3, 1)
        columns.append((_two_lines(view), np.clip(pixels * np.float32(std) + np.float32(mean), 0, 1)))
    sheet = Sheet(len(columns) * 1.06 + (originals is not None) * 0.15, rows * 1.06, cell=1.0, head=0.5)
    longest = max(len(line) for title, _ in columns for line in title.split("\n"))
    size = min(9.5, 72 * sheet.cell / (0.6 * longest))  # points: a letter is about 0.6 as wide as the font is high
    for c, (title, block) in enumerate(columns):
        x = c * 1.06 + (originals is not None and c > 0) * 0.15
        sheet.title(x + 0.5, title, centre=True, size=size)
        for r in range(rows):
            sheet.image(block[r], x, r * 1.06)
    return sheet.figure


def _two_lines(view) -> str:
    """Title of a view: its strategy, then its crop."""
    return f"{view.strategy.replace('_', ' ')}\n{'local ' if view.role == 'local' else ''}crop {view.crop + 1}"


def feature_map(points: Mapping[str, np.ndarray], y: np.ndarray | None, classes: Sequence[str] | None = None) -> Figure:
    """Plot 2-D maps of features side by side, coloured by class.

    points: title -> (N, 2).  y: (N,) int64 labels; None, or any -1, plots one colour.  classes: names of the classes,
    shown in a legend for up to 20 of them.
    """
    width = min(WIDE, max(3.6 * len(points) + 0.4, 6.4))  # 6.4: room for the legend below one map
    figure = new_figure(width, min(3.9, WIDE / len(points) + 0.7))
    labelled = y is not None and bool((y >= 0).all())
    known = np.unique(y) if labelled else np.zeros(1, int)
    for axis, (title, xy) in zip(figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True):
        for at, c in enumerate(known):
            rows = y == c if labelled else slice(None)
            axis.scatter(*xy[rows].T, s=9, linewidths=0, alpha=0.85, color=_class_colour(at, len(known)))
        axis.set(title=title, xticks=[], yticks=[])
        axis.grid(False)
        axis.set_aspect("equal", "datalim")
        for spine in axis.spines.values():
            spine.set_visible(False)
    if labelled and 1 < len(known) <= MANY_CLASSES:
        names = [classes[c] if classes and c < len(classes) else str(c) for c in known]
        marks = figure.axes[0].collections
        columns = max(1, min(len(names), int(90 * width / WIDE / (max(map(len, names)) + 4))))
        figure.legend(
            marks, names, loc="outside lower center", ncols=columns, fontsize=9, markerscale=1.8, handletextpad=0.1
        )
    return figure


def _class_colour(at: int, count: int):
    """Colour of class number `at` of `count`."""
    if count <= len(CLASSES):
        return CLASSES[at]
    from matplotlib import colormaps

    return colormaps["hsv"](at / count)


def tsne(x: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE coordinates (N, 2) of features x (N, F), centred and normalised, reduced to 50 by PCA; 0 for equal ones."""
    from sklearn.decomposition import PCA

    x = np.asarray(x, np.float64) - x.mean(0, dtype=np.float64)
    if np.abs(x).max() == 0:  # a collapsed encoder; scikit-learn's t-SNE crashes the process
        return np.zeros((len(x), 2))
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    if x.shape[1] > 50 and len(x) > 50:
        x = PCA(50, random_state=seed).fit_transform(x)
    perplexity = min(30.0, max(1.0, (len(x) - 1) / 3))
    with threadpool_limits(1):  # more threads are slower for a thousand points
        return _tsne(x, perplexity, seed)


def _tsne(x: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    return TSNE(2, perplexity=perplexity, init="pca", max_iter=500, random_state=seed).fit_transform(x)


def neighbours(
    queries: np.ndarray, found: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray] | None = None
) -> Figure:
    """Plot test images and their nearest training images under each encoder.

    queries: uint8 (Q, H, W, 3).  found: title -> uint8 (Q, k, H, W, 3), nearest first.  right: title -> bool (Q, k),
    whether a neighbour has the class of its query: a green frame if so, else a red one; None: no frames.
    """
    rows, k = next(iter(found.values())).shape[:2]
    step, gap = 1.14, 0.5
    sheet = Sheet(1.06 + len(found) * (k * step + gap), rows * step + 0.04, cell=0.72, head=0.36)
    sheet.title(0.54, "query", centre=True)
    for r in range(rows):
        sheet.image(queries[r], 0.04, r * step + 0.04)
    for at, (title, images) in enumerate(found.items()):
        left = 1.06 + gap + at * (k * step + gap)
        sheet.title(left, title)
        for r in range(rows):
            for c in range(k):
                frame = None if right is None else RIGHT if right[title][r, c] else WRONG
                sheet.image(images[r, c], left + c * step, r * step + 0.04, frame)
    return sheet.figure


def accuracy_bars(metrics: Mapping[str, Mapping], titles: Mapping[str, str] | None = None) -> Figure:
    """Plot accuracies as groups of bars; whiskers are the standard deviation over label subsets, baselines are grey.

    metrics: {measure: {row: {"mean", "std", "draws"}}} in 0..1.  titles: row -> its name in the legend.
    """
    titles = {**BASELINES, **(titles or {})}
    measures = [m for m in HEADINGS if metrics.get(m)]
    names = list(dict.fromkeys(name for m in measures for name in metrics[m]))
    figure = new_figure(WIDE, 3.3)
    axis = figure.subplots()
    height = 0.8 / len(names)
    colours = {name: colour for name, colour in zip(BASELINES, GREYS, strict=True)}
    colours |= {n: COLOURS[i % len(COLOURS)] for i, n in enumerate(n for n in names if n not in BASELINES)}
    for at, name in enumerate(names):
        entries = [metrics[m].get(name) for m in measures]
        x = np.arange(len(measures)) + (at - (len(names) - 1) / 2) * height
        mean = [100 * e["mean"] if e else np.nan for e in entries]
        std = [100 * e["std"] if e and e["std"] is not None else np.nan for e in entries]
        whiskers = {"ecolor": ink("muted"), "elinewidth": 1.2, "capsize": 2.5}
        axis.bar(x, mean, height * 0.92, yerr=std, error_kw=whiskers, color=colours[name], label=titles.get(name, name))
        for at_x, value, whisker in zip(x, mean, std, strict=True):
            if np.isfinite(value):
                top = value + np.nan_to_num(whisker) + 1.5
                axis.text(at_x, top, f"{value:.0f}", ha="center", fontsize=9, color=ink("muted"))
    axis.set(xticks=range(len(measures)), ylim=(0, 112), yticks=range(0, 101, 25), title="Test accuracy, %")
    axis.set_xticklabels([HEADINGS[m] for m in measures])
    axis.grid(axis="x", visible=False)
    axis.tick_params(axis="x", length=0)
    figure.legend(loc="outside lower center", ncols=len(names), fontsize=9.5)
    return figure
