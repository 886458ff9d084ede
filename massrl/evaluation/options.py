"""Options that all evaluations share: wrong ones are refused before any work, by their name."""

from __future__ import annotations

import os
from typing import Any

from data_loading.errors import ConfigError
from data_loading.kernel.rng import checked_seed

# Integers, and their smallest values.
WHOLE = {"size": 1, "batch_size": 1, "num_workers": 0, "draws": 1, "k": 1, "iterations": 1}
MOST = 2**31 - 1


def check_options(**options: Any) -> None:
    """Refuse values that no evaluation can use, by a ConfigError with the option's name; None means unset.

    Known: size, batch_size, num_workers, draws, k, iterations (integers), seed; cache_dir, json, leaks, out (paths).
    """
    for name, value in options.items():
        if value is None:
            continue
        if name == "seed":
            checked_seed(value)
        elif name in WHOLE:
            _check_whole(name, value)
        elif not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise ConfigError(f"{name} is {value!r}; name a {'folder' if name == 'cache_dir' else 'file'}")


def _check_whole(name: str, value: Any) -> None:
    low = WHOLE[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= MOST:
        raise ConfigError(f"{name} is {value!r}; it must be an integer from {low} to {MOST}")
