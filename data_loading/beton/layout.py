"""Byte layout of a .beton file (FFCV format, version 2): all dtypes and offsets. No other module hard-codes them.

    0                     header, 24 bytes
    24                    F field descriptors of 1041 bytes
    M = 24 + 1041 F       N records of R bytes, one per sample
    H = M + N R           zeros up to B, the next multiple of the page size
    B                     data pages, each padded to the page size
    alloc_table_ptr       allocation table: one entry of 24 bytes per stored value, up to the end of the file

All integers are little-endian. Records and values may be unaligned: copy them before viewing as another dtype.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

VERSION = 2
MIN_PAGE, MAX_PAGE = 1 << 21, 1 << 31  # bytes: the least that FFCV writes, and the largest power of two in 32 bits
MAX_SIDE = (1 << 16) - 1  # pixels; sides are stored in 16 bits
NAME_BYTES = 16

HEADER = np.dtype(
    [
        ("version", "<u2"),
        ("num_fields", "<u2"),
        ("page_size", "<u4"),
        ("num_samples", "<u8"),
        ("alloc_table_ptr", "<u8"),
    ]
)
ARGUMENT_BYTES = 1024
DESCRIPTOR = np.dtype([("type_id", "u1"), ("name", f"S{NAME_BYTES}"), ("arguments", f"V{ARGUMENT_BYTES}")])
MAX_DIMENSIONS = 32
# Arguments of an ndarray or tensor field: shape (padded with zeros), then numpy's dtype.descr as JSON after its length.
ARRAY_HEAD = [("shape", "<u8", MAX_DIMENSIONS), ("length", "<u8")]
ARRAY = np.dtype([*ARRAY_HEAD, ("dtype", f"S{ARGUMENT_BYTES - np.dtype(ARRAY_HEAD).itemsize}")])
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])

IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), ("ptr", "<u8")])  # width before height
BYTES = np.dtype([("ptr", "<u8"), ("size", "<u8")])
INT, FLOAT, POINTER = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<u8")

# type id -> (kind, dtype of the column, alignment in bytes). Packed structs have alignment 1, as in numpy.
COLUMNS = {
    0: ("float", FLOAT, 8),
    1: ("int", INT, 8),
    2: ("image", IMAGE, 1),
    3: ("bytes", BYTES, 1),
    4: ("ndarray", POINTER, 8),
    5: ("json", BYTES, 1),
    6: ("tensor", POINTER, 8),
}
CUSTOM = 255  # a user-defined field class; the file does not store its dtype
EMPTY: Mapping = MappingProxyType({})
TYPE_IDS = {kind: type_id for type_id, (kind, _, _) in COLUMNS.items()}


def is_beton(path: Path) -> bool:
    """Whether a file begins as a .beton file does, whatever its name; the format has no mark but its header."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(HEADER.itemsize)
    except OSError:
        return False
    if len(head) < HEADER.itemsize:
        return False
    header = np.frombuffer(head, HEADER)[0]
    page, fields, table = (int(header[name]) for name in ("page_size", "num_fields", "alloc_table_ptr"))
    fits = 1 <= fields and records_start(fields) <= table <= size
    return int(header["version"]) == VERSION and fits and page > 0 and page & (page - 1) == 0


def has_value(type_id: int) -> bool:
    """Whether values of this type are stored on pages (with an allocation entry each) rather than in the records."""
    return type_id in COLUMNS and COLUMNS[type_id][1] not in (INT, FLOAT)


def with_pointer(type_id: int, record: tuple, ptr: int) -> tuple | int:
    """The complete record: `record` plus `ptr`, the byte offset of the value in the file."""
    if COLUMNS[type_id][1] == POINTER:
        return ptr
    return (ptr, *record) if COLUMNS[type_id][1] == BYTES else (*record, ptr)


def without_pointer(type_id: int, stored: Any) -> tuple:
    """The inverse of `with_pointer`: the members of a stored record except its pointer."""
    if COLUMNS[type_id][1] == POINTER:
        return ()
    return stored.item()[1:] if COLUMNS[type_id][1] == BYTES else stored.item()[:-1]


def record_dtype(type_ids: Sequence[int], custom: Mapping[int, np.dtype] = EMPTY) -> np.dtype:
    """The dtype of a sample's record: columns "0", "1", ..., each at the next multiple of its alignment.

    type_ids: one per column.  custom: column number -> dtype, for the columns of type CUSTOM.
    """
    columns = [(custom[i], custom[i].alignment) if t == CUSTOM else COLUMNS[t][1:] for i, t in enumerate(type_ids)]
    at, largest, offsets = 0, 1, []
    for dtype, align in columns:
        at = _round_up(at, align)
        offsets.append(at)
        at, largest = at + dtype.itemsize, max(largest, align)
    return np.dtype(
        {
            "names": [str(i) for i in range(len(offsets))],
            "formats": [dtype for dtype, _ in columns],
            "offsets": offsets,
            "itemsize": _round_up(at, largest),
        }
    )


def records_start(num_fields: int) -> int:
    """Byte offset of the records: M in the table above."""
    return HEADER.itemsize + num_fields * DESCRIPTOR.itemsize


def records_end(num_fields: int, num_samples: int, record_size: int) -> int:
    """Byte offset of the end of the records: H in the table above."""
    return records_start(num_fields) + num_samples * record_size


def pages_start(end: int, page_size: int) -> int:
    """Byte offset of the first page: B in the table above. end: H."""
    return _round_up(end, page_size)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step
