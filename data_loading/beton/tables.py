"""Tables: what a .beton file's head and records say, checked; and those of several files put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_loading.beton import layout, verify
from data_loading.beton.arrays import NDArrayField
from data_loading.beton.fields import CustomField, Field
from data_loading.errors import BetonError


class ImageTable(NamedTuple):
    """An image column as arrays of length N: what is stored where. Sides in pixels, ptr and size in bytes."""

    mode: np.ndarray  # (N,) uint8: JPEG, RAW or PNG of data_loading.decode
    height: np.ndarray  # (N,) int32
    width: np.ndarray  # (N,) int32
    ptr: np.ndarray  # (N,) int64, from the start of the reader's memory
    size: np.ndarray  # (N,) int64


@dataclass
class Tables:
    """All arrays are copies, so that the file may be closed."""

    fields: dict[str, Field]
    page_size: int
    length: int
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # of fields whose records hold the values themselves
    images: dict[str, ImageTable] = field(default_factory=dict)
    # of all others: ptr, size (N,) int64
    places: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def read(path: Path, raw: np.ndarray, custom: Mapping[str, Any]) -> Tables:
    """raw: the file, uint8 (n,); custom: name -> dtype of the fields whose type is their writer's own."""
    head = verify.header(path, raw)
    fields = verify.fields(path, raw, head["num_fields"], custom)
    kinds = list(fields.values())
    dtypes = {i: kind.dtype for i, kind in enumerate(kinds) if isinstance(kind, CustomField)}
    record = layout.record_dtype([kind.type_id for kind in kinds], dtypes)
    entries = verify.table_place(path, raw.size, head, record.itemsize)
    found = Tables(fields, head["page_size"], head["num_samples"])
    records = np.frombuffer(raw, record, found.length, layout.records_start(head["num_fields"]))
    table = np.frombuffer(raw, layout.ALLOCATION, entries, head["alloc_table_ptr"])
    ptr, size = verify.allocations(path, table, head, record.itemsize)
    for i, (name, kind) in enumerate(fields.items()):
        column = records[str(i)]
        if kind.kind == "image":
            sizes = verify.image_sizes(path, name, column, ptr, size)
            parts = (("mode", np.uint8), ("height", np.int32), ("width", np.int32), ("ptr", np.int64))
            found.images[name] = ImageTable(*(column[key].astype(dtype) for key, dtype in parts), sizes)
        elif not layout.has_value(kind.type_id):
            found.columns[name] = column.copy()
        else:
            wanted, stated = _stated(path, name, kind, column, raw.size)
            verify.sizes(path, name, wanted, stated, ptr, size)
            found.places[name] = wanted.astype(np.int64), stated.astype(np.int64)
    return found


def _stated(path: Path, name: str, kind: Field, column: np.ndarray, file_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the values of a column (N,) lie, and how many bytes they should have."""
    if not isinstance(kind, NDArrayField):
        return column["ptr"], column["size"]
    if kind.size > file_size:
        raise BetonError(f"{path}: field {name!r}: its values of {kind.dtype} {kind.shape} are larger than the file")
    return column, np.broadcast_to(np.uint64(kind.size), column.shape)


def together(tables: Sequence[Tables], starts: Sequence[int]) -> Tables:
    """One after the other; starts: where each file's bytes begin. The fields are the same ones."""
    first = tables[0]
    found = Tables(first.fields, max(one.page_size for one in tables), sum(one.length for one in tables))
    for name in first.columns:
        found.columns[name] = np.concatenate([one.columns[name] for one in tables])
    for name in first.images:
        shifted = [
            one.images[name]._replace(ptr=one.images[name].ptr + at) for one, at in zip(tables, starts, strict=True)
        ]
        found.images[name] = ImageTable(*map(np.concatenate, zip(*shifted, strict=True)))
    for name in first.places:
        ptr = np.concatenate([one.places[name][0] + at for one, at in zip(tables, starts, strict=True)])
        found.places[name] = ptr, np.concatenate([one.places[name][1] for one in tables])
    return found


def check_alike(paths: Sequence[Path], tables: Sequence[Tables]) -> None:
    """A BetonError that names the first file whose fields are not those of the first one."""
    wanted = {name: repr(kind) for name, kind in tables[0].fields.items()}
    for path, one in zip(paths, tables, strict=True):
        found = {name: repr(kind) for name, kind in one.fields.items()}
        for name in [*wanted, *found]:
            if found.get(name) != wanted.get(name):
                here, there = found.get(name, "is missing"), wanted.get(name, "is missing")
                raise BetonError(
                    f"{path}: field {name!r}: {here}, but in {paths[0]}: {there}; files of one data set have the same "
                    f"fields"
                )
