"""A held-out part of the training images: what a protocol chooses its settings on, so that the test images are not."""

from __future__ import annotations

import numpy as np

from data_loading.errors import ConfigError

SHARE = 0.1
STREAM = 2**63  # the second word of the key of Philox; label subsets have their numbers there


def held_out(y: np.ndarray, share: float = SHARE, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(kept, held) sorted rows of the labels y (N,) int64: of each class a random `share` is held out, rounded.

    Of a class with two or more images at least one is held out and one kept; a class with one image keeps it, so that
    it is trained on but not selected on. A function of (seed, row). Raises ConfigError when no class has two images.
    """
    if not 0 < share < 1:
        raise ConfigError(f"the held-out share is {share}; it must be above 0 and below 1")
    keys = np.random.Philox(key=[seed, STREAM]).random_raw(len(y))
    held = np.zeros(len(y), bool)
    for c in np.unique(y):
        members = np.flatnonzero(y == c)
        if len(members) > 1:
            n = min(max(1, round(share * len(members))), len(members) - 1)
            held[members[np.argsort(keys[members], kind="stable")[:n]]] = True
    if not held.any():
        raise ConfigError(
            "no class has two labelled training images, so that none can be held out to choose a setting; give more "
            "labels, or take the protocol knn or linear, which choose nothing"
        )
    return np.flatnonzero(~held), np.flatnonzero(held)
