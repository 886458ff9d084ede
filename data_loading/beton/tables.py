"""Parse and check the header, records and allocation table of a .beton file; concatenate those of several files."""

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
    """The records of an image column as arrays of length N. Sides in pixels, ptr and size in bytes."""

    mode: np.ndarray  # (N,) uint8: JPEG, RAW or PNG of data_loading.decode
    height: np.ndarray  # (N,) int32
    width: np.ndarray  # (N,) int32
    ptr: np.ndarray  # (N,) int64, offset in Reader.memory
    size: np.ndarray  # (N,) int64


@dataclass
class Tables:
    """What a Reader knows of its file besides the stored values. All arrays are copies, so the file may be closed."""

    fields: dict[str, Field]
    page_size: int
    length: int
    columns: dict[str, np.ndarray] = field(default_factory=dict)  # values of int, float and custom fields, (N,)
    images: dict[str, ImageTable] = field(default_factory=dict)
    # other fields: (ptr, size), int64 (N,)
    spans: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def read_tables(path: Path, raw: np.ndarray, custom: Mapping[str, Any]) -> Tables:
    """Parse and check a file. BetonError if it is damaged.

    path: for error messages.  raw: the file, uint8 (n,).  custom: name -> record dtype of user-defined fields.
    """
    head = verify.header(path, raw)
    fields = verify.fields(path, raw, head["num_fields"], custom)
    kinds = list(fields.values())
    dtypes = {i: kind.dtype for i, kind in enumerate(kinds) if isinstance(kind, CustomField)}
    record = layout.record_dtype([kind.type_id for kind in kinds], dtypes)
    entries = verify.table_entries(path, raw.size, head, record.itemsize)
    tables = Tables(fields, head["page_size"], head["num_samples"])
    records = np.frombuffer(raw, record, tables.length, layout.records_start(head["num_fields"]))
    table = np.frombuffer(raw, layout.ALLOCATION, entries, head["alloc_table_ptr"])
    ptr, size = verify.allocations(path, table, head, record.itemsize)
    for i, (name, kind) in enumerate(fields.items()):
        column = records[str(i)]
        if kind.kind == "image":
            sizes = verify.image_sizes(path, name, column, ptr, size)
            parts = (("mode", np.uint8), ("height", np.int32), ("width", np.int32), ("ptr", np.int64))
            tables.images[name] = ImageTable(**{key: column[key].astype(dtype) for key, dtype in parts}, size=sizes)
        elif not layout.has_value(kind.type_id):
            tables.columns[name] = column.copy()
        else:
            pointers, stated = _spans(path, name, kind, column, raw.size)
            verify.sizes(path, name, pointers, stated, ptr, size)
            tables.spans[name] = pointers.astype(np.int64), stated.astype(np.int64)
    return tables


def _spans(path: Path, name: str, kind: Field, column: np.ndarray, file_size: int) -> tuple[np.ndarray, np.ndarray]:
    """(pointers, sizes), each (N,) uint64, that the records of a column state for its values."""
    if not isinstance(kind, NDArrayField):
        return column["ptr"], column["size"]
    if kind.size > file_size:
        raise BetonError(
            f"{path} is damaged: field {name!r}: a value of {kind.dtype} {kind.shape} would be larger than the file"
        )
    return column, np.broadcast_to(np.uint64(kind.size), column.shape)


def concatenate(tables: Sequence[Tables], starts: Sequence[int]) -> Tables:
    """Concatenate the tables of files with the same fields. starts: offset of each file in Reader.memory."""
    first = tables[0]
    joined = Tables(first.fields, max(table.page_size for table in tables), sum(table.length for table in tables))
    for name in first.columns:
        joined.columns[name] = np.concatenate([table.columns[name] for table in tables])
    for name in first.images:
        images = [table.images[name] for table in tables]
        shifted = [image._replace(ptr=image.ptr + start) for image, start in zip(images, starts, strict=True)]
        joined.images[name] = ImageTable(*map(np.concatenate, zip(*shifted, strict=True)))
    for name in first.spans:
        spans = [table.spans[name] for table in tables]
        ptr = np.concatenate([ptr + start for (ptr, _), start in zip(spans, starts, strict=True)])
        joined.spans[name] = ptr, np.concatenate([size for _, size in spans])
    return joined


def check_same_fields(paths: Sequence[Path], tables: Sequence[Tables]) -> None:
    """BetonError, naming the file and the field, if the fields of a file differ from those of the first file."""
    expected = {name: repr(kind) for name, kind in tables[0].fields.items()}
    for path, table in zip(paths, tables, strict=True):
        fields = {name: repr(kind) for name, kind in table.fields.items()}
        for name in [*expected, *fields]:
            if fields.get(name) != expected.get(name):
                here, there = fields.get(name, "is missing"), expected.get(name, "is missing")
                raise BetonError(
                    f"{path}: field {name!r}: {here}, but in {paths[0]}: {there}; files that are read together must "
                    f"have the same fields"
                )
