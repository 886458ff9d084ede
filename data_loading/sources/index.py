"""The index beside a .beton file: names of its images and classes, which the format has no place for.

NAME.beton has NAME.index.json; a file of the cache, data.beton, has index.json. An index is only used with the file
that it was written for: it holds the size of the file, and a hash of all that the file holds apart from its pages.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.beton.mapping import named
from data_loading.beton.shards import Shard, fault_of_set
from data_loading.config.atomic import write_whole
from data_loading.config.once import warn_once
from data_loading.errors import SourceError, printable

CACHED = "data.beton"  # the name of a file in the cache
LISTS = ("classes", "paths", "labels")


def read_index(file: str | Path | Sequence[str | Path]) -> dict[str, Any] | None:
    """What is kept beside a .beton file of the images in it: {"classes", "paths", "labels", ...}, or None.

    file: a file, a pattern, or a list of files, which are one data set: the names of all their images, in their order.
    None where a file has no index, or beside it is a file of that name which is no index or of another file.
    SourceError if the classes of several files differ.
    """
    files = named(file)
    entries = [_beside(one) for one in files]
    return entries[0] if len(files) == 1 else joined(files, entries)


def check_set(file: str | Path | Sequence[str | Path]) -> None:
    """Check that a pattern or a list of .beton files is one data set; does nothing for a single file.

    SourceError if their class names differ. Warns once if shards, as their names say, are missing or of two sets.
    """
    check_classes(file)
    if words := fault_of_set(file) or _nameless(named(file)):
        warn_once(printable(words))


def _nameless(files: Sequence[Path]) -> str | None:
    """In words, which of several files lacks an index that others have, so that no image of the set has a name."""
    there = [any(index.exists() for index in _indexes(file)) for file in files]
    if all(there) or not any(there):
        return None
    lacking = files[there.index(False)]
    return f"{lacking}: its index, {index_of(lacking).name}, is missing, so that the images of the set have no names"


def check_classes(file: str | Path | Sequence[str | Path]) -> None:
    """SourceError if several .beton files have class names, and these differ."""
    files = named(file)
    if len(files) > 1:
        _check_same(files, [_classes(one, *map(_state, (one, *_indexes(one)))) for one in files])


def _check_same(files: Sequence[Path], classes: Sequence[Sequence[str] | None]) -> None:
    """SourceError if the class names of two files differ; None, or no names, is no class name."""
    known = [(file, list(names)) for file, names in zip(files, classes, strict=True) if names]
    for file, names in known[1:]:
        first, expected = known[0]
        if names != expected:
            odd = sorted({*names} ^ {*expected})
            which = f"{', '.join(odd[:5])} in one only" if odd else "in another order"
            raise SourceError(
                f"{first} and {file} have other classes, {which}, so that their labels do not count the same ones; "
                "write both from the whole data set, as massrl data write --shards does"
            )


@lru_cache(maxsize=4096)
def _classes(file: Path, *states: tuple[int, int] | None) -> tuple[str, ...] | None:
    """The class names of a file. states: of it and of its index; a loader asks again, and an index can be long."""
    entry = _beside(file)
    return tuple(entry["classes"]) if entry and entry["classes"] else None


def _state(file: Path) -> tuple[int, int] | None:
    """What changes when a file is written again; None if there is none."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _beside(file: Path) -> dict[str, Any] | None:
    """The index of one file."""
    found = (_read(index, file) for index in _indexes(file))
    return next((entry for entry in found if entry is not None), None)


def _indexes(file: Path) -> list[Path]:
    """Where the index of a file can be: beside a file of the cache also index.json."""
    return [index_of(file), *([file.with_name("index.json")] if file.name == CACHED else [])]


def joined(files: Sequence[Path], entries: Sequence[dict[str, Any] | None]) -> dict[str, Any] | None:
    """The index of several files as one data set; None where one has none. SourceError if their classes differ.

    A list that a file's index does not have, as the names of images, is None.
    """
    _check_same(files, [entry["classes"] if entry else None for entry in entries])
    found = [entry for entry in entries if entry is not None]
    if len(found) < len(entries):
        return None
    lists = {key: [entry[key] for entry in found] for key in LISTS}
    return {
        "bytes": sum(entry["bytes"] for entry in found),
        "classes": lists["classes"][0] if all(lists["classes"]) else None,
        **{key: None if None in lists[key] else [one for each in lists[key] for one in each] for key in LISTS[1:]},
    }


def index_of(file: Path) -> Path:
    """Where the names of a .beton file's images are kept."""
    return file.with_suffix(".index.json")


def write_index(index: Path, file: Path, dataset: Any, rows: np.ndarray, **more: object) -> dict[str, Any]:
    """Write the names, labels and class names of the rows of `dataset` that `file` holds, and return them.

    dataset: a Source; of another data set, the class names alone are known.
    """
    return write_lists(index, file, names_of(dataset, rows), **more)


def write_lists(index: Path, file: Path, lists: dict[str, Any], **more: object) -> dict[str, Any]:
    """Write the index of `file`, and return it. lists: its classes, paths and labels, a list or None each."""
    entry = {
        **more,
        "bytes": file.stat().st_size,
        "table": table_hash(file),
        **{key: lists[key] for key in LISTS},
    }
    write_whole(index, json.dumps(entry))
    return entry


def names_of(dataset: Any, rows: np.ndarray) -> dict[str, Any]:
    """{"classes", "paths", "labels"} of rows of a data set, None where it does not say."""
    paths: Any = getattr(dataset, "paths", None)
    labels = getattr(dataset, "labels", None)
    return {
        "classes": class_names(dataset),
        "paths": [paths[i] for i in rows] if _are_names(paths) else None,
        "labels": labels[rows].tolist() if isinstance(labels, np.ndarray) else None,
    }


def shard_notes(part: Shard, dataset: Any, chosen: Sequence[Any], fields: dict[str, Field]) -> dict[str, Any]:
    """What the index of a shard says besides: its number, and what all shards of its data set have in common.

    chosen: how the rows to write were chosen from `dataset`, as JSON values.
    """
    whole = json.dumps([names_of(dataset, np.arange(len(dataset))), len(dataset), *chosen])
    return {
        "shard": part.number,
        "shards": part.total,
        "of": hashlib.sha256(whole.encode()).hexdigest(),
        "images": {name: repr(field) for name, field in fields.items() if field.kind == "image"},
    }


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
