"""Test images that `massrl data check` has flagged, and training and test images that are the same ones."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.errors import ConfigError
from massrl.evaluation.features import Features
from massrl.leaks.check import swapped_names
from massrl.runs.record import file_sha256


@dataclass(frozen=True)
class Flagged:
    """rows: of the flagged test images, sorted int64.  verdicts: -> number of images.  sha256: of the check's file.

    hashes: SHA-256 of the .beton files of "train" and "test" that were checked.
    """

    path: str
    rows: np.ndarray
    verdicts: dict[str, int]
    hashes: dict[str, str]
    sha256: str

    def check(self, hashes: Mapping[str, Any]) -> None:
        """ConfigError unless the check was made on the files with these hashes."""
        for part, words in (("train", "training"), ("test", "test")):
            if self.hashes[part] != hashes[part]:
                raise ConfigError(
                    f"leaks: {self.path} is of other {words} images than those that are given; {_again(self.path)}"
                )

    def kept(self, features: Features) -> Features:
        """The features of the other images."""
        return features[~np.isin(features.index, self.rows)]


def _again(path: str | os.PathLike) -> str:
    return f"write it with massrl data check TRAIN --against TEST --json {path}"


def read_flagged(path: str | os.PathLike) -> Flagged:
    """What `massrl data check TRAIN --against TEST --json FILE` has flagged; ConfigError for a file of another form."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        hashes = {"train": record["train_sha256"], "test": record["against_sha256"]}
        rows = np.unique(np.array([pair["row"] for pair in record["pairs"]], np.int64))
        verdicts = {str(verdict): int(number) for verdict, number in record["images"].items()}
    except OSError as error:
        raise ConfigError(f"leaks: {path} cannot be read: {error.strerror or error}; {_again(path)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(f"leaks: {path} is no check of training against test images; {_again(path)}") from error
    return Flagged(str(path), rows, verdicts, hashes, file_sha256(path))


def same_or_swapped(train: Any, test: Any, hashes: Mapping[str, Any]) -> list[str]:
    """Sentences that must not be overlooked: the two sets have the same content, or their names look swapped."""
    if hashes["train"] == hashes["test"]:
        return ["the training and test images have the same content: this is an accuracy on training images"]
    return swapped_names(train, test)
