"""Labels that an accuracy needs: read from the files and refused before any of the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, SourceError

Data = str | Path | Sequence[str | Path]
MOST_CLASSES = 2**20  # a label beyond is a number of another kind; a head for it would not fit into memory


def labels_of(reader: Reader, given: Data) -> np.ndarray:
    """Labels (N,) int64 of a file, from 0 on; SourceError where there are none, or others."""
    if reason := reader.why_unlabelled:
        raise SourceError(f"{given}: {reason}")
    if "label" not in reader.fields:
        raise SourceError(f"{given}: images have no labels; an accuracy needs class folders")
    labels = np.asarray(reader.labels, np.int64).copy()
    if not len(labels):
        raise SourceError(f"{given}: holds no images")
    if (labels < 0).any():
        row = int(np.flatnonzero(labels < 0)[0])
        raise SourceError(f"{given}: image {row} has the label {labels[row]}; an accuracy needs labels from 0 on")
    if labels.max() >= MOST_CLASSES:
        raise SourceError(
            f"{given}: image {int(labels.argmax())} has the label {labels.max()}; labels count classes from 0, to at "
            f"most {MOST_CLASSES - 1}"
        )
    return labels


def check_labels(labels: Mapping[str, np.ndarray], given: Mapping[str, Data], names: Sequence[str] | None) -> None:
    """Refuse training labels of one class, and other parts with classes that no training image is of.

    Without the names of the classes, parts that lack a class are refused, too: labels number class folders in sorted
    order, so in a file that was made of fewer folders they may stand for other classes.

    labels: (N,) int64 of "train", "test" and perhaps "val".  given: what the parts were given as.  names: of the
    classes, where all parts have the same; None where a part does not say.
    """
    classes = np.unique(labels["train"])
    if len(classes) < 2:
        raise ConfigError(
            f"{given['train']}: all {len(labels['train'])} images are of one class; there is nothing to learn"
        )
    for part, y in labels.items():
        unknown = np.setdiff1d(y, classes)
        if len(unknown):
            raise SourceError(
                f"{given[part]}: has images of class {unknown[0]}, which no image of {given['train']} is of; give "
                "images of the same classes"
            )
        lacking = np.setdiff1d(classes, y)
        if names is None and len(lacking):
            raise SourceError(
                f"{given[part]}: has no image of class {lacking[0]}, which {given['train']} has, and not both have "
                "class names to tell whether its labels count the same ones; write both with massrl data write, "
                "which keeps the names"
            )
