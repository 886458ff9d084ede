"""Where everything lies in a .beton file: dtypes and offsets, which no other module knows.

    0                     header, 24 bytes
    24                    F field descriptors of 1041 bytes
    M = 24 + 1041 F       N records of R bytes, one per sample
    H = M + N R           zeros up to B, the next multiple of the page size
    B                     data pages, each written whole
    alloc_table_ptr       one entry of 24 bytes per stored value, to the end of the file

All integers are little-endian. Records and values lie at odd addresses: copy, never cast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

VERSION = 2
MIN_PAGE, MAX_PAGE = 1 << 21, 1 << 31  # bytes; stock FFCV refuses to write smaller pages, and 32 bits hold no larger
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
# The arguments of an ndarray or tensor field: its shape, then the JSON of numpy's dtype.descr and its length.
ARRAY_HEAD = [("shape", "<u8", MAX_DIMENSIONS), ("length", "<u8")]
ARRAY = np.dtype([*ARRAY_HEAD, ("dtype", f"S{ARGUMENT_BYTES - np.dtype(ARRAY_HEAD).itemsize}")])
ALLOCATION = np.dtype([("sample_id", "<u8"), ("ptr", "<u8"), ("size", "<u8")])

IMAGE = np.dtype([("mode", "u1"), ("width", "<u2"), ("height", "<u2"), ("ptr", "<u8")])  # width before height
BYTES = np.dtype([("ptr", "<u8"), ("size", "<u8")])
INT, FLOAT, POINTER = np.dtype("<i8"), np.dtype("<f8"), np.dtype("<u8")

# type id -> (kind, the column's dtype, its alignment). Packed structs have alignment 1, as numpy sees it.
COLUMNS = {
    0: ("float", FLOAT, 8),
    1: ("int", INT, 8),
    2: ("image", IMAGE, 1),
    3: ("bytes", BYTES, 1),
    4: ("ndarray", POINTER, 8),
    5: ("json", BYTES, 1),
    6: ("tensor", POINTER, 8),
}
CUSTOM = 255  # a class of the user's; its size is known to that class alone
EMPTY: Mapping = MappingProxyType({})
TYPE_IDS = {kind: type_id for type_id, (kind, _, _) in COLUMNS.items()}


def has_value(type_id: int) -> bool:
    """Whether the column points to bytes on a page, and each of its values has an entry in the table."""
    return type_id in COLUMNS and COLUMNS[type_id][1] not in (INT, FLOAT)


def pointed(type_id: int, record: tuple, ptr: int) -> tuple | int:
    """The record of a value that lies at `ptr`, from its other members."""
    if COLUMNS[type_id][1] == POINTER:
        return ptr
    return (ptr, *record) if COLUMNS[type_id][1] == BYTES else (*record, ptr)


def unpointed(type_id: int, stored: np.void | np.uint64) -> tuple:
    """The other members of a stored record: what `pointed` was given."""
    if COLUMNS[type_id][1] == POINTER:
        return ()
    return stored.item()[1:] if COLUMNS[type_id][1] == BYTES else stored.item()[:-1]


def record_dtype(type_ids: Sequence[int], custom: Mapping[int, np.dtype] = EMPTY) -> np.dtype:
    """The record of a sample: columns "0", "1", ... each at the next multiple of its alignment.

    custom: number of a column of type CUSTOM -> its dtype, whose own alignment holds.
    """
    columns = [(custom[i], custom[i].alignment) if t == CUSTOM else COLUMNS[t][1:] for i, t in enumerate(type_ids)]
    at, largest, offsets = 0, 1, []
    for dtype, align in columns:
        at = _up(at, align)
        offsets.append(at)
        at, largest = at + dtype.itemsize, max(largest, align)
    return np.dtype(
        {
            "names": [str(i) for i in range(len(offsets))],
            "formats": [dtype for dtype, _ in columns],
            "offsets": offsets,
            "itemsize": _up(at, largest),
        }
    )


def records_start(num_fields: int) -> int:
    """M, in bytes."""
    return HEADER.itemsize + num_fields * DESCRIPTOR.itemsize


def records_end(num_fields: int, num_samples: int, record_size: int) -> int:
    """H, in bytes."""
    return records_start(num_fields) + num_samples * record_size


def pages_start(end: int, page_size: int) -> int:
    """B, in bytes: `end` is H."""
    return _up(end, page_size)


def _up(value: int, step: int) -> int:
    return -(-value // step) * step
