"""A test part of a data set that has none: drawn by a key, the same on every machine and for every numpy."""

from __future__ import annotations

import numpy as np

from data_loading.errors import SourceError
from data_loading.kernel.rng import checked_seed


def split_indices(
    labels: np.ndarray | int, test_fraction: float | None = None, seed: int = 0, names: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """labels (N,) int64, or N where there are none -> (train, test) rows, int64, sorted.

    test_fraction of each class (20 % unless said), or of all rows (10 %), rounded, at least one; one row at least is
    left to train. names: of the classes, for the SourceError that a class of a single image is.
    """
    flat = isinstance(labels, int | np.integer)
    groups = np.zeros(int(labels), np.int64) if flat else np.asarray(labels, np.int64)
    fraction = (0.1 if flat else 0.2) if test_fraction is None else test_fraction
    if not 0 < fraction < 1:
        raise SourceError(f"test_fraction is {fraction}; it must lie between 0 and 1")
    # The raw words of Philox never change, unlike what numpy's permutation makes of them. Row i has word i.
    keys = np.random.Philox(key=checked_seed(seed)).random_raw(len(groups))
    test = np.zeros(len(groups), bool)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) < 2:
            name = names[group] if names else group
            what = "there is only one image" if flat else f"class {name} has only one image"
            raise SourceError(f"{what}; train and test need at least one each: add some, or leave the class out")
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        test[rows[np.argsort(keys[rows], kind="stable")[:count]]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)
