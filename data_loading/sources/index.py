"""The index beside a .beton file: names of its images and classes, which the format has no place for.

NAME.beton has NAME.index.json; a file of the cache, data.beton, has index.json. An index is only used with the file
that it was written for: it holds the size of the file, and a hash of all that the file holds apart from its pages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.config.atomic import write_whole

CACHED = "data.beton"  # the name of a file in the cache


def read_index(file: str | Path | Sequence[Path]) -> dict[str, Any] | None:
    """What is kept beside a .beton file of the images in it: {"classes", "paths", "labels", ...}, or None.

    None for a list of files, and where there is no index, or a file of that name which is no index or of another file.
    """
    if not isinstance(file, str | Path):
        return None
    file = Path(file)
    entry = _read(index_of(file), file)
    return _read(file.with_name("index.json"), file) if entry is None and file.name == CACHED else entry


def index_of(file: Path) -> Path:
    """Where the names of a .beton file's images are kept."""
    return file.with_suffix(".index.json")


def write_index(index: Path, file: Path, dataset: Any, rows: np.ndarray, **more: object) -> dict[str, Any]:
    """Write the names, labels and class names of the rows of `dataset` that `file` holds, and return them.

    dataset: a Source; of another data set, the class names alone are known.
    """
    paths: Any = getattr(dataset, "paths", None)
    labels = getattr(dataset, "labels", None)
    entry = {
        **more,
        "bytes": file.stat().st_size,
        "table": table_hash(file),
        "classes": class_names(dataset),
        "paths": [paths[i] for i in rows] if _are_names(paths) else None,
        "labels": labels[rows].tolist() if isinstance(labels, np.ndarray) else None,
    }
    write_whole(index, json.dumps(entry))
    return entry


def class_names(dataset: Any) -> list[str] | None:
    """The attribute `classes` of a Source or a data set of torchvision, where it is a list of names."""
    classes = getattr(dataset, "classes", None)
    return list(classes) if classes and _are_names(classes) else None


def table_hash(file: Path) -> str:
    """SHA-256 of a .beton file without its pages: header, descriptors, records and allocation table."""
    with open(file, "rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        head = opened.read(layout.HEADER.itemsize)
        if len(head) < layout.HEADER.itemsize:
            return hashlib.sha256(head).hexdigest()
        header = np.frombuffer(head, layout.HEADER)[0]
        fields, samples, table = (int(header[key]) for key in ("num_fields", "num_samples", "alloc_table_ptr"))
        descriptors = opened.read(fields * layout.DESCRIPTOR.itemsize)
        whole = len(descriptors) // layout.DESCRIPTOR.itemsize
        types = np.frombuffer(descriptors, layout.DESCRIPTOR, whole)["type_id"].tolist()
        digest = hashlib.sha256(head + descriptors)
        if all(kind in layout.COLUMNS for kind in types):  # of a user's own field the file does not say the size
            digest.update(opened.read(min(samples * layout.record_dtype(types).itemsize, size)))
        opened.seek(min(table, size))
        digest.update(opened.read())
    return digest.hexdigest()


def _read(index: Path, file: Path) -> dict[str, Any] | None:
    """The content of an index of `file`; None where it cannot be read, has another form, or is of another file."""
    try:
        entry = json.loads(index.read_bytes())
        fits = is_index(entry) and entry["bytes"] == file.stat().st_size
        return entry if fits and entry.get("table", "") in ("", table_hash(file)) else None
    except (OSError, ValueError, RecursionError):
        return None


def is_index(entry: Any) -> bool:
    """Whether JSON content has the form of an index. Those of massrl 0.2 have no "table"."""
    if not isinstance(entry, dict) or not {"bytes", "classes", "paths", "labels"} <= entry.keys():
        return False
    labels = entry["labels"]
    return (
        type(entry["bytes"]) is int
        and all(entry[key] is None or _are_names(entry[key]) for key in ("classes", "paths"))
        and (labels is None or (isinstance(labels, list) and all(type(label) is int for label in labels)))
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
