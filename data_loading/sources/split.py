"""Split a data set into training and test rows, identically on every machine and with every version of numpy."""

from __future__ import annotations

import numpy as np

from data_loading.errors import SourceError
from data_loading.kernel.rng import checked_seed


def split_indices(
    labels: np.ndarray | int, test_fraction: float | None = None, seed: int = 0, names: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Random (train, test) row indices, each int64 and sorted.

    labels: int64 (N,), for a split stratified by class; or the integer N, for a split of N unlabelled rows.
    test_fraction: test share of each class (default 0.2) or of all rows (default 0.1), in (0, 1). Counts are rounded;
        train and test get at least one row of each class.
    seed: 0 to 2^32 - 1.  names: class names for the error message.
    SourceError for a fraction out of range, or a class (or data set) with a single row.
    """
    flat = isinstance(labels, int | np.integer)
    groups = np.zeros(int(labels), np.int64) if flat else np.asarray(labels, np.int64)
    fraction = (0.1 if flat else 0.2) if test_fraction is None else test_fraction
    if not 0 < fraction < 1:
        raise SourceError(f"test_fraction is {fraction}; it must be between 0 and 1")
    # Row i has the random key i. Raw Philox output is stable over numpy versions; Generator.permutation is not.
    keys = np.random.Philox(key=checked_seed(seed)).random_raw(len(groups))
    test = np.zeros(len(groups), bool)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        if len(rows) < 2:
            name = names[group] if names else group
            what = "there is only one image" if flat else f"class {name} has only one image"
            raise SourceError(f"{what}; train and test need at least one each: add images, or leave the class out")
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        test[rows[np.argsort(keys[rows], kind="stable")[:count]]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)
