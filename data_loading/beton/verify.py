"""Checks of a .beton file's header, records and allocation table, vectorised over samples. Failures are BetonErrors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.beton.arrays import NDArrayField, TorchTensorField
from data_loading.beton.fields import BytesField, CustomField, Field, FloatField, IntField, JSONField
from data_loading.beton.images import RGBImageField
from data_loading.decode import JPEG, PNG, RAW
from data_loading.decode.header import jpeg_size, png_size
from data_loading.errors import BetonError

FIELDS = {field.kind: field for field in (IntField, FloatField, RGBImageField, BytesField, JSONField)}
# Their dtype and shape are in the field descriptor.
ARRAYS = {field.kind: field for field in (NDArrayField, TorchTensorField)}


def header(path: Path, raw: np.ndarray) -> dict[str, int]:
    """Check and return the header of a file `raw`, uint8 (n,), as Python integers, which cannot overflow."""
    if raw.size < layout.HEADER.itemsize:
        raise BetonError(f"{path} is not a .beton file, or was cut short: it has {raw.size} bytes")
    record = np.frombuffer(raw[: layout.HEADER.itemsize].tobytes(), layout.HEADER)[0]
    head = {name: int(record[name]) for name in layout.HEADER.names or ()}
    if head["version"] != layout.VERSION:
        raise BetonError(
            f"{path} is not a .beton file of version {layout.VERSION}: its first two bytes say {head['version']}"
        )
    page = head["page_size"]
    if page == 0 or page & (page - 1):
        raise BetonError(f"{path} is damaged: page_size {page} is not a power of two")
    if head["num_fields"] == 0:
        raise BetonError(f"{path} is damaged: it has no fields")
    need = layout.records_start(head["num_fields"])
    if need > raw.size:
        raise BetonError(
            f"{path} was cut short: {raw.size} bytes, its {head['num_fields']} field descriptors end at byte {need}"
        )
    if head["alloc_table_ptr"] == 0:
        raise BetonError(f"{path} is incomplete: its writer was stopped; write the file again")
    return head


def fields(path: Path, raw: np.ndarray, num_fields: int, custom: Mapping[str, Any]) -> dict[str, Field]:
    """Check the field descriptors; returns name -> Field in file order. custom: dtypes of user-defined fields."""
    start, end = layout.HEADER.itemsize, layout.records_start(num_fields)
    descriptors = np.frombuffer(raw[start:end].tobytes(), layout.DESCRIPTOR)
    kinds: dict[str, Field] = {}
    for i, (type_id, raw_name, arguments) in enumerate(descriptors.tolist()):  # numpy has dropped trailing zeros
        name = raw_name.decode("latin-1")
        if not (name and name.isascii() and name.isprintable()):
            raise BetonError(f"{path} is damaged: the name of field {i} is {raw_name!r}")
        if name in kinds:
            raise BetonError(f"{path} has two fields named {name!r}")
        try:
            kinds[name] = _field(type_id, arguments, custom.get(name))
        except BetonError as error:
            raise BetonError(f"{path}: field {name!r}: {error}") from None
    for name in custom:
        if not isinstance(kinds.get(name), CustomField):
            raise BetonError(f"{path} has no user-defined field {name!r}; it has the fields {', '.join(kinds)}")
    return kinds


def _field(type_id: int, arguments: bytes, dtype: Any) -> Field:
    if type_id == layout.CUSTOM:
        if dtype is None:
            raise BetonError(
                "it has a user-defined type (255), whose size the file does not store; give Reader the dtype of its "
                "records as custom={name: dtype}, or write the file again without the field"
            )
        return CustomField(dtype)
    if type_id not in layout.COLUMNS:
        raise BetonError(f"its type {type_id} is unknown")
    kind = layout.COLUMNS[type_id][0]
    return ARRAYS[kind].stored(arguments) if kind in ARRAYS else FIELDS[kind]()


def table_entries(path: Path, file_size: int, head: dict[str, int], record_size: int) -> int:
    """The number of entries of the allocation table. Checks that records and table are within the file.

    file_size, record_size: bytes.  head: as `header` returns it.
    """
    end = layout.records_end(head["num_fields"], head["num_samples"], record_size)
    if end > file_size:
        raise BetonError(
            f"{path} was cut short or is damaged: {file_size} bytes, "
            f"the records of its {head['num_samples']} samples end at byte {end}"
        )
    start = head["alloc_table_ptr"]
    if not end <= start <= file_size:
        raise BetonError(
            f"{path} was cut short or is damaged: its allocation table starts at byte {start}, "
            f"outside of {end} to {file_size}"
        )
    entries, rest = divmod(file_size - start, layout.ALLOCATION.itemsize)
    if rest:
        raise BetonError(f"{path} was cut short: its allocation table ends in the middle of an entry")
    return entries


def allocations(path: Path, table: np.ndarray, head: dict[str, int], record_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Check the allocation table; returns (ptr, size) of its non-empty entries, int64, sorted by ptr.

    table: (n,) of dtype layout.ALLOCATION.  In FFCV's files an empty value has the pointer of the next value, so empty
    entries are left out: a search by pointer could find the wrong entry.
    """
    end = layout.records_end(head["num_fields"], head["num_samples"], record_size)
    first, last = layout.pages_start(end, head["page_size"]), head["alloc_table_ptr"]
    _refuse(path, table["sample_id"] >= head["num_samples"], "entry", "names a sample that does not exist")
    table = table[table["size"] > 0]
    ptr, size = table["ptr"], table["size"]
    # Compare size with the bytes left after ptr, because ptr + size could overflow.
    outside = (ptr < first) | (ptr > last) | (size > last - np.minimum(ptr, np.uint64(last)))
    _refuse(path, outside, "entry", f"points outside of the data pages (bytes {first} to {last})", table["sample_id"])
    page_bits = np.uint64(head["page_size"].bit_length() - 1)
    crosses = ptr >> page_bits != (ptr + size - np.uint64(1)) >> page_bits
    _refuse(path, crosses, "entry", "crosses the end of a page", table["sample_id"])
    ptr, size = ptr.astype(np.int64), size.astype(np.int64)
    if np.any(ptr[1:] < ptr[:-1]):  # not in order when FFCV wrote with several processes
        order = np.argsort(ptr, kind="stable")
        ptr, size = ptr[order], size[order]
    _refuse(path, (ptr[1:] == ptr[:-1]) & (size[1:] != size[:-1]), "entry", "gives a second size for a value")
    return ptr, size


def image_sizes(path: Path, name: str, column: np.ndarray, ptr: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Check an image column; returns the stored bytes per image, int64 (N,).

    column: (N,) of dtype layout.IMAGE.  ptr, size: as `allocations` returns them.
    """
    mode, width, height = (column[key].astype(np.int64) for key in ("mode", "width", "height"))
    _refuse(path, mode > max(JPEG, RAW, PNG), "sample", f"field {name!r} has an unknown image mode", values=mode)
    _refuse(path, (width == 0) | (height == 0), "sample", f"field {name!r} has an image with a side of 0 pixels")
    sizes = _listed(path, name, column["ptr"], ptr, size)
    wrong = (mode == RAW) & (sizes != 3 * width * height)
    _refuse(path, wrong, "sample", f"field {name!r} has a raw image whose size differs from width x height x 3")
    return sizes


def sizes(path: Path, name: str, pointers: np.ndarray, stated: np.ndarray, ptr: np.ndarray, size: np.ndarray) -> None:
    """Check the pointers (N,) and stated sizes (N,) of a column against the allocation table (ptr, size).

    Pointers of empty values are not checked.
    """
    used = stated > 0
    listed = np.zeros(len(pointers), np.int64)
    listed[used] = _listed(path, name, pointers[used], ptr, size, np.flatnonzero(used))
    wrong = used & (listed.astype(np.uint64) != stated.astype(np.uint64))
    _refuse(path, wrong, "sample", f"field {name!r} has a size that differs from the allocation table's", values=stated)


def _listed(
    path: Path, name: str, pointers: np.ndarray, ptr: np.ndarray, size: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Look up pointers (n,) in the allocation table (ptr, size); returns their sizes, int64 (n,).

    rows: the samples of the pointers, for the error message; None means 0, 1, ..., n - 1.
    """
    if not len(pointers):
        return np.empty(0, np.int64)
    pointers = pointers.astype(np.uint64)
    if len(ptr) == len(pointers) and np.array_equal(ptr.view(np.uint64), pointers):  # a single column in file order
        return size
    at = np.minimum(np.searchsorted(ptr, pointers.astype(np.int64)), max(len(ptr) - 1, 0))
    missing = ptr[at].astype(np.uint64) != pointers if len(ptr) else np.ones(len(pointers), bool)
    fault = f"field {name!r} has a pointer that is not in the allocation table"
    _refuse(path, missing, "sample", fault, rows=rows)
    return size[at]


def image_header(data: np.ndarray, mode: int, height: int, width: int) -> None:
    """Check, without decoding, that the size in an image's own header is that of its record.

    data: stored bytes, uint8 (n,).  mode: JPEG, RAW or PNG.  height, width: of the record, in pixels.
    DecodeError for an unreadable header or a size that the bytes cannot hold; BetonError if the sizes differ. Allocates
    no memory of the image's size.
    """
    if mode == RAW:
        return
    size = jpeg_size(data) if mode == JPEG else png_size(data)
    if size != (height, width):
        raise BetonError(f"damaged: the image is {size[1]} x {size[0]}, its record says {width} x {height}")


def _refuse(
    path: Path, bad: np.ndarray, what: str, fault: str, ids: np.ndarray | None = None, values=None, rows=None
) -> None:
    """BetonError that names the first True of `bad` (n,) and the number of Trues; nothing if there is none.

    what: "sample" or "entry" (of the allocation table).  fault: what is wrong.  ids: sample of each entry.
    values: (n,), shown with the fault.  rows: sample of each element of `bad`; None means 0, 1, ..., n - 1.
    """
    if not bad.any():
        return
    i = int(np.argmax(bad))
    row = i if rows is None else int(rows[i])
    where = f"{what} {row}" if ids is None else f"{what} {i} of the allocation table (sample {ids[i]})"
    shown = f" ({values[i]})" if values is not None else ""
    more = f"; {int(bad.sum())} in all" if bad.sum() > 1 else ""
    raise BetonError(f"{path} is damaged: {where}: {fault}{shown}{more}")
