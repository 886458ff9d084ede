"""Options that all evaluations share: wrong ones are refused before any work, by their name."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError
from data_loading.kernel.rng import checked_seed
from data_loading.strategies.strategy import LARGEST

# Integers, and their smallest and largest values.
MOST = 2**31 - 1
WHOLE = {name: (1, MOST) for name in ("batch_size", "k", "iterations")}
WHOLE |= {
    "size": (1, LARGEST),
    "num_workers": (0, 1024),
    "draws": (1, 10_000),
}  # each draw is a list of rows and a training
FOLDERS = ("cache_dir", "subsets_out")
FILES = ("json", "out", "picture", "report", "chart")  # that are written


def check_options(**options: Any) -> None:
    """Refuse values that no evaluation can use, by a ConfigError with the option's name; None means unset.

    Known: size, batch_size, num_workers, draws, k, iterations (integers), seed; cache_dir, leaks, subsets_out (paths);
    json, out, picture, report, chart (files that are written, perhaps hours later: not folders, nor below a file).
    """
    for name, value in options.items():
        if value is None:
            continue
        if name == "seed":
            checked_seed(value)
        elif name in WHOLE:
            _check_whole(name, value)
        elif not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise ConfigError(f"{name} is {value!r}; name a {'folder' if name in FOLDERS else 'file'}")
        elif name in FILES:
            _check_file(name, Path(value))


def check_k(k: int | None, images: int) -> None:
    """Refuse more neighbours than there are training images."""
    if k is not None and k > images:
        raise ConfigError(f"k is {k}, and there are {images} training images; give at most {images}")


def _check_whole(name: str, value: Any) -> None:
    low, high = WHOLE[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; it must be an integer from {low} to {high}")


def _check_file(name: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise ConfigError(f"{name} is {str(path)!r}, which is a folder; name a file")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:  # a file in place of a folder, no permission, a name that is too long, a full disk
        raise ConfigError(
            f"{name} is {str(path)!r}, which cannot be written: {error.strerror or error}; name another place"
        ) from error


def check_ending(*endings: str, **options: Any) -> None:
    """Refuse the name of a file that does not end as what is written to it; None means unset."""
    for name, value in options.items():
        if value is not None and Path(value).suffix.lower() not in endings:
            raise ConfigError(f"{name} is {str(value)!r}; give a name that ends in {' or '.join(endings)}")
