"""The table of accuracies: every encoder under every protocol, on shared label subsets, with paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from scipy.stats import t as student

from data_loading.errors import printable
from massrl.evaluation.features import Features, require_labels
from massrl.evaluation.knn import KNN
from massrl.evaluation.linear import Linear
from massrl.evaluation.subsets import draw, draws_of

LINEAR = {"linear_1_per_class": "one", "linear_10pct": "10pct", "linear_all": "all"}
HEADINGS = {
    "linear_1_per_class": "linear, 1 label/class",
    "linear_10pct": "linear, 10 % labels",
    "linear_all": "linear, all labels",
    "knn": "kNN, all labels",
}
BASELINES = {"pixels": "raw pixels", "random": "untrained network"}
Rows = Mapping[str, tuple[Features, Features]]


def compare(
    rows: Rows, knn: KNN | None = None, linear: Linear | None = None, draws: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Evaluate every row by the linear probe (one label per class, 10 %, all) and by kNN; accuracies in 0..1.

    rows: name -> (train, test) features; all rows have the same images in the same order. "pixels" and "random" are the
    baselines.  draws: number of random label subsets, shared by all rows.  seed: of the subsets.
    Returns {"linear_1_per_class": {row: {"mean", "std", "draws"}}, "linear_10pct": ..., "linear_all": ..., "knn": ...,
    "paired": {measure: {row: {other row: as `difference`}}}, "protocols": cards}; std is None for a
    single subset. Raises ValueError when rows differ in their images, SourceError without labels.
    """
    knn, linear = knn or KNN(), linear or Linear()
    check_same_images(rows)
    scores: dict[str, dict[str, np.ndarray]] = {measure: {} for measure in (*LINEAR, "knn")}
    for name, (train, test) in rows.items():
        for measure, values in scores_of(train, test, knn, linear, draws, seed).items():
            scores[measure][name] = values
    result: dict[str, Any] = {m: {name: summary(values) for name, values in row.items()} for m, row in scores.items()}
    result["paired"] = {m: _paired(row) for m, row in scores.items()}
    result["protocols"] = [p.card() for p in (knn, linear)]
    return result


def scores_of(
    train: Features, test: Features, knn: KNN, linear: Linear, draws: int, seed: int
) -> dict[str, np.ndarray]:
    """{measure: accuracies (subsets,)} of one row."""
    scores = {}
    for measure, labels in LINEAR.items():
        subsets = (draw(train.y, labels, seed, number) for number in range(draws_of(labels, draws)))
        scores[measure] = linear.accuracies(train.x, train.y, test.x, test.y, subsets)
    scores["knn"] = np.array([knn.accuracy(train.x, train.y, test.x, test.y)])
    return scores


def summary(values: np.ndarray) -> dict[str, Any]:
    """{"mean", "std", "draws"} of accuracies (subsets,): std is the sample standard deviation, None for one value."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "draws": len(values)}


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Paired difference a - b of accuracies (subsets,): {"mean", "std", "low", "high", "won", "draws"}.

    low, high: Student's 95 % interval of the mean over label subsets (not over test sets or trainings); None for one
    subset.  won: number of subsets with a > b.
    """
    gain = summary(a - b)
    low = high = None
    if gain["std"] is not None:
        reach = float(student.ppf(0.975, len(a) - 1)) * gain["std"] / np.sqrt(len(a))
        low, high = float(gain["mean"] - reach), float(gain["mean"] + reach)
    return {**gain, "low": low, "high": high, "won": int(np.sum(a > b))}


def unpaired(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Difference of the means of independent accuracies a (n,) and b (m,), two or more each, as `difference`.

    low, high: Welch's 95 % interval.  std: of the difference of one a and one b.  won: None.  draws: n + m.
    """
    of_a, of_b = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    gain, spread = float(np.mean(a) - np.mean(b)), float(np.sqrt(of_a + of_b))
    reach = 0.0
    if spread:
        freedom = spread**4 / (of_a**2 / (len(a) - 1) + of_b**2 / (len(b) - 1))
        reach = float(student.ppf(0.975, freedom)) * spread
    std = float(np.sqrt(np.var(a, ddof=1) + np.var(b, ddof=1)))
    return {
        "mean": gain, "std": std, "draws": len(a) + len(b), "low": gain - reach, "high": gain + reach, "won": None
    }  # fmt: skip


def _paired(row: dict[str, np.ndarray]) -> dict[str, Any]:
    """{method: {other: difference}} to each baseline and to each method that is listed after it."""
    methods = [name for name in row if name not in BASELINES]
    bases = [name for name in row if name in BASELINES]
    return {
        name: {base: difference(row[name], row[base]) for base in [*bases, *methods[i + 1 :]]}
        for i, name in enumerate(methods)
    }


def check_same_images(rows: Rows) -> None:
    """Raise ValueError unless all rows have equal image indices and labels, SourceError without labels."""
    names = list(rows)
    for name in names:
        for part, ours, first in zip(("train", "test"), rows[name], rows[names[0]], strict=True):
            require_labels(ours, f"{name}, {part}")
            if not (np.array_equal(ours.index, first.index) and np.array_equal(ours.y, first.y)):
                raise ValueError(
                    f"rows {name!r} and {names[0]!r} differ in their {part} images; paired differences need equal ones"
                )


def percent(entry: dict[str, Any]) -> str:
    """An entry of `summary` in per cent: "94.8 ± 2.7", or "94.8" for one subset."""
    mean = f"{100 * entry['mean']:.1f}"
    return mean if entry["std"] is None else f"{mean} ± {100 * entry['std']:.1f}"


def format_table(result: dict, titles: Mapping[str, str] | None = None) -> str:
    """The result of `compare` as a text table: test accuracy in per cent ± standard deviation over label subsets.

    titles: row -> what the table calls it. Paired differences follow, one line per measure and method.
    """
    titles = {**BASELINES, **(titles or {})}
    measures = [m for m in HEADINGS if m in result]
    names = list(dict.fromkeys(name for m in measures for name in result[m]))
    cells = [["test accuracy, %", *(HEADINGS[m] for m in measures)]]
    cells += [[titles.get(n, n), *(percent(result[m][n]) if n in result[m] else "" for m in measures)] for n in names]
    text = aligned(cells)
    gains = [line for m in measures for line in _gains(m, result.get("paired", {}).get(m, {}), titles)]
    return "\n".join([text, *([""] if gains else []), *gains])


def _gains(measure: str, paired: dict, titles: Mapping[str, str]) -> list[str]:
    """Lines with the paired differences of one measure, in points, with 95 % intervals."""
    lines = []
    for name, bases in paired.items():
        parts = []
        for base, gain in bases.items():
            if gain["std"] is None:
                continue
            interval = f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
            won = f"better on {gain['won']} of {gain['draws']} subsets"
            parts.append(f"{100 * gain['mean']:+.1f} {interval} over {titles.get(base, base)} ({won})")
        if parts:
            lines.append(f"{HEADINGS[measure]}: {titles.get(name, name)} {', '.join(parts)}")
    return lines


def aligned(cells: list[list[str]]) -> str:
    """Format rows of cells as a text table: first column left-aligned, others right-aligned, a rule below the head."""
    cells = [list(map(printable, row)) for row in cells]  # names of files may hold what a terminal obeys
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in (lines[0], "-" * len(lines[0]), *lines[1:]))


def html_table(cells: Sequence[Sequence[str]]) -> str:
    """Rows of cells as an HTML table, escaped; the first row is the head."""
    head, *rows = ([escape(cell) for cell in row] for row in cells)
    lines = ["".join(f"<th>{cell}</th>" for cell in head)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
