"""Random label subsets: which training labels a probe may use.

A subset is a function of (seed, subset number, row), so every encoder is evaluated on the same subsets and accuracies
are paired.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_loading.errors import ConfigError

NAMES = ("one", "10pct", "all")


def fraction(labels: str | float) -> float | str:
    """Parse the argument `labels`: "one", "all", or a fraction in (0, 1) from "10pct" or 0.1; 1.0 gives "all".

    Raises ConfigError for anything else.
    """
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
    """Random label subset: sorted row indices (n,) int64 into the labels y (N,) int64; label -1 means unlabelled.

    labels: "one": one row of each class; a fraction: that share of each class, rounded, at least one row; "all": every
    labelled row.  seed, number: subset `number` of this seed. For one (seed, number) a smaller subset is contained in
    a larger one. Raises ConfigError when no row is labelled.
    """
    share = fraction(labels)
    if share == "all":
        return np.flatnonzero(y >= 0)
    return _of_each(y, seed, number, lambda n: max(1, round(share * n)) if isinstance(share, float) else 1)


def draw_each(y: np.ndarray, count: int, seed: int = 0, number: int = 0) -> np.ndarray:
    """Random label subset of `count` rows of each class: sorted row indices (n,) int64 into the labels y (N,) int64.

    For one (seed, number) it is that of `draw` where both take equally many rows of each class. Raises ConfigError
    where a class has fewer than `count` rows.
    """
    if count != int(count) or count < 1:
        raise ConfigError(f"per_class is {count}; it must be an integer of at least 1")
    classes, sizes = np.unique(y[y >= 0], return_counts=True)
    if len(sizes) and sizes.min() < count:
        least = classes[sizes.argmin()]
        raise ConfigError(f"per_class is {count}, and class {least} has {sizes.min()} images; take at most that many")
    return _of_each(y, seed, number, lambda n: int(count))


def _of_each(y: np.ndarray, seed: int, number: int, take: Callable[[int], int]) -> np.ndarray:
    """Sorted rows: of each class with n rows the first `take(n)` in a random order."""
    # Sort rows by raw Philox output, row i by word i: it is stable across numpy versions, permutation() is not.
    keys = np.random.Philox(key=[seed, number]).random_raw(len(y))
    rows = []
    for c in np.unique(y[y >= 0]):
        members = np.flatnonzero(y == c)
        rows.append(members[np.argsort(keys[members], kind="stable")[: take(len(members))]])
    if not rows:
        raise ConfigError("there are no labels: every label is -1")
    return np.sort(np.concatenate(rows))


def draws_of(labels: str | float, draws: int) -> int:
    """Number of distinct label subsets: 1 when all labels are used, else `draws`. Raises ConfigError for draws < 1."""
    if draws < 1:
        raise ConfigError(f"draws is {draws}; it must be at least 1")
    return 1 if fraction(labels) == "all" else draws
