"""Which training labels a probe may see: draws keyed by (seed, draw, row), so every encoder gets the same ones."""

from __future__ import annotations

import numpy as np

from data_loading.errors import ConfigError

NAMES = ("one", "10pct", "all")


def fraction(labels: str | float) -> float | str:
    """ "one", "all", or a fraction in (0, 1] from "10pct" or a number; "all" and 1.0 are the same."""
    if labels in ("one", "all"):
        return str(labels)
    text = str(labels)
    try:
        value = float(text[:-3]) / 100 if text.endswith("pct") else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise ConfigError(f"labels is {labels!r}; write {', '.join(NAMES)}, or a fraction above 0 and at most 1")
    return "all" if value == 1 else value


def draw(y: np.ndarray, labels: str | float, seed: int = 0, number: int = 0) -> np.ndarray:
    """Sorted rows (n,) int64 of y (N,) int64 whose labels are used in draw `number`; rows with label -1 never are.

    "one": one of each class; a fraction: that share of each class, rounded, at least one; "all": every labelled row.
    Draws are nested: fewer labels of one draw are among more of them.
    """
    share = fraction(labels)
    if share == "all":
        return np.flatnonzero(y >= 0)
    # The raw words of Philox never change, unlike what numpy's permutation makes of them. Row i has word i.
    keys = np.random.Philox(key=[seed, number]).random_raw(len(y))
    rows = []
    for c in np.unique(y[y >= 0]):
        members = np.flatnonzero(y == c)
        n = 1 if share == "one" else max(1, round(share * len(members)))
        rows.append(members[np.argsort(keys[members], kind="stable")[:n]])
    if not rows:
        raise ConfigError("there are no labels to draw from: every label is -1")
    return np.sort(np.concatenate(rows))


def draws_of(labels: str | float, draws: int) -> int:
    """How many draws differ: one when all labels are used."""
    if draws < 1:
        raise ConfigError(f"draws is {draws}; it must be at least 1")
    return 1 if fraction(labels) == "all" else draws
