"""What a .beton file must satisfy before anything in it is used; all samples at once. Each fault is a BetonError."""

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
ARRAYS = {field.kind: field for field in (NDArrayField, TorchTensorField)}  # described by the file's head


def header(path: Path, raw: np.ndarray) -> dict[str, int]:
    """raw: the file, uint8 (n,). The header's numbers as Python integers, which do not overflow."""
    if raw.size < layout.HEADER.itemsize:
        raise BetonError(f"{path} is no .beton file, or was cut short: it has {raw.size} bytes")
    found = np.frombuffer(raw[: layout.HEADER.itemsize].tobytes(), layout.HEADER)[0]
    head = {name: int(found[name]) for name in layout.HEADER.names}
    if head["version"] != layout.VERSION:
        raise BetonError(
            f"{path} is no .beton file of version {layout.VERSION}: its first two bytes say version {head['version']}"
        )
    page = head["page_size"]
    if page == 0 or page & (page - 1):
        raise BetonError(f"{path} is damaged: page_size {page} is no power of two")
    if head["num_fields"] == 0:
        raise BetonError(f"{path} is damaged: it has no fields")
    need = layout.records_start(head["num_fields"])
    if need > raw.size:
        raise BetonError(
            f"{path} was cut short: {raw.size} bytes, its {head['num_fields']} field descriptors end at byte {need}"
        )
    if head["alloc_table_ptr"] == 0:
        raise BetonError(f"{path} is not finished: its writer was stopped; write it again")
    return head


def fields(path: Path, raw: np.ndarray, num_fields: int, custom: Mapping[str, Any]) -> dict[str, Field]:
    """Name -> field, in the file's order. custom: name -> dtype of the columns whose type is their writer's own."""
    start, end = layout.HEADER.itemsize, layout.records_start(num_fields)
    descriptors = np.frombuffer(raw[start:end].tobytes(), layout.DESCRIPTOR)
    found: dict[str, Field] = {}
    for i, (type_id, raw_name, arguments) in enumerate(descriptors.tolist()):  # numpy has dropped the zeros at the end
        name = raw_name.decode("latin-1")
        if not (name and name.isascii() and name.isprintable()):
            raise BetonError(f"{path} is damaged: the name of field {i} is {raw_name!r}")
        if name in found:
            raise BetonError(f"{path} has two fields named {name!r}")
        try:
            found[name] = _field(type_id, arguments, custom.get(name))
        except BetonError as error:
            raise BetonError(f"{path}: field {name!r}: {error}") from None
    for name in custom:
        if not isinstance(found.get(name), CustomField):
            raise BetonError(f"{path} has no field {name!r} of a type of its writer's own; it has {', '.join(found)}")
    return found


def _field(type_id: int, arguments: bytes, dtype: Any) -> Field:
    if type_id == layout.CUSTOM:
        if dtype is None:
            raise BetonError(
                "it has a type of its writer's own (255), whose size is not known; give Reader its record's dtype "
                "as custom={name: dtype}, or write the file again without it"
            )
        return CustomField(dtype)
    if type_id not in layout.COLUMNS:
        raise BetonError(f"it has the unknown type {type_id}")
    kind = layout.COLUMNS[type_id][0]
    return ARRAYS[kind].stored(arguments) if kind in ARRAYS else FIELDS[kind]()


def table_place(path: Path, file_size: int, head: dict[str, int], record_size: int) -> int:
    """Number of entries of the allocation table, after checking that records and table lie within the file."""
    end = layout.records_end(head["num_fields"], head["num_samples"], record_size)
    if end > file_size:
        raise BetonError(
            f"{path} was cut short or is damaged: {file_size} bytes, "
            f"the records of its {head['num_samples']} samples end at byte {end}"
        )
    start = head["alloc_table_ptr"]
    if not end <= start <= file_size:
        raise BetonError(
            f"{path} was cut short or is damaged: its table of allocations starts at byte {start}, "
            f"outside of {end} to {file_size}"
        )
    entries, rest = divmod(file_size - start, layout.ALLOCATION.itemsize)
    if rest:
        raise BetonError(f"{path} was cut short: its table of allocations ends in the middle of an entry")
    return entries


def allocations(path: Path, table: np.ndarray, head: dict[str, int], record_size: int) -> tuple[np.ndarray, np.ndarray]:
    """table (n,) ALLOCATION -> (ptr, size) of its non-empty entries, int64, sorted by ptr.

    Empty values share their pointer with the next one, so they must not take part in a search by pointer.
    """
    end = layout.records_end(head["num_fields"], head["num_samples"], record_size)
    first, last = layout.pages_start(end, head["page_size"]), head["alloc_table_ptr"]
    _none(path, table["sample_id"] >= head["num_samples"], "entry", "names a sample that is not there")
    table = table[table["size"] > 0]
    ptr, size = table["ptr"], table["size"]
    # size is compared with what is left behind ptr: ptr + size could overflow.
    outside = (ptr < first) | (ptr > last) | (size > last - np.minimum(ptr, np.uint64(last)))
    _none(path, outside, "entry", f"points outside of the data pages (bytes {first} to {last})", table["sample_id"])
    page_bits = np.uint64(head["page_size"].bit_length() - 1)
    crosses = ptr >> page_bits != (ptr + size - np.uint64(1)) >> page_bits
    _none(path, crosses, "entry", "crosses the end of a page", table["sample_id"])
    ptr, size = ptr.astype(np.int64), size.astype(np.int64)
    if np.any(ptr[1:] < ptr[:-1]):  # several writer processes: not in order
        order = np.argsort(ptr, kind="stable")
        ptr, size = ptr[order], size[order]
    _none(path, (ptr[1:] == ptr[:-1]) & (size[1:] != size[:-1]), "entry", "gives a value a second size")
    return ptr, size


def image_sizes(path: Path, name: str, column: np.ndarray, ptr: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Stored bytes (N,) int64 of the images of a column (N,) IMAGE; ptr, size: as `allocations` returns them."""
    mode, width, height = (column[key].astype(np.int64) for key in ("mode", "width", "height"))
    _none(path, mode > max(JPEG, RAW, PNG), "sample", f"field {name!r} has an unknown image mode", values=mode)
    _none(path, (width == 0) | (height == 0), "sample", f"field {name!r} has an image of no pixels")
    sizes = _listed(path, name, column["ptr"], ptr, size)
    wrong = (mode == RAW) & (sizes != 3 * width * height)
    _none(path, wrong, "sample", f"field {name!r} has a raw image whose size differs from width x height x 3")
    return sizes


def sizes(path: Path, name: str, wanted: np.ndarray, stated: np.ndarray, ptr: np.ndarray, size: np.ndarray) -> None:
    """Check values at `wanted` (N,) with `stated` (N,) bytes against the table; empty values may point anywhere."""
    used = stated > 0
    listed = np.zeros(len(wanted), np.int64)
    listed[used] = _listed(path, name, wanted[used], ptr, size, np.flatnonzero(used))
    wrong = used & (listed.astype(np.uint64) != stated.astype(np.uint64))
    _none(path, wrong, "sample", f"field {name!r} has another size than the table of allocations lists", values=stated)


def _listed(
    path: Path, name: str, wanted: np.ndarray, ptr: np.ndarray, size: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """The sizes (n,) int64 that the table gives for the pointers `wanted` (n,) of the samples `rows` (all)."""
    if not len(wanted):
        return np.empty(0, np.int64)
    wanted = wanted.astype(np.uint64)
    if len(ptr) == len(wanted) and np.array_equal(ptr.view(np.uint64), wanted):  # one column, in order: no search
        return size
    at = np.minimum(np.searchsorted(ptr, wanted.astype(np.int64)), max(len(ptr) - 1, 0))
    missing = ptr[at].astype(np.uint64) != wanted if len(ptr) else np.ones(len(wanted), bool)
    fault = f"field {name!r} points to a place that the table of allocations does not list"
    _none(path, missing, "sample", fault, rows=rows)
    return size[at]


def image_header(data: np.ndarray, mode: int, height: int, width: int) -> None:
    """Before an image is decoded: its own header must promise the size (pixels) that its record does.

    data: stored bytes, uint8 (n,); mode: JPEG, RAW or PNG. DecodeError for a header that cannot be read or promises
    more than its bytes can hold, BetonError where the two differ; nothing of the image's size is allocated.
    """
    if mode == RAW:
        return
    found = jpeg_size(data) if mode == JPEG else png_size(data)
    if found != (height, width):
        raise BetonError(f"damaged: the image is {found[1]} x {found[0]}, its record says {width} x {height}")


def _none(
    path: Path, bad: np.ndarray, what: str, fault: str, ids: np.ndarray | None = None, values=None, rows=None
) -> None:
    """Raise a BetonError that names the first True of `bad` and says how many there are."""
    if not bad.any():
        return
    i = int(np.argmax(bad))
    row = i if rows is None else int(rows[i])
    where = f"{what} {row}" if ids is None else f"{what} {i} of the table of allocations (sample {ids[i]})"
    shown = f" ({values[i]})" if values is not None else ""
    more = f"; {int(bad.sum())} in all" if bad.sum() > 1 else ""
    raise BetonError(f"{path} is damaged: {where}: {fault}{shown}{more}")
