"""What a .beton file must satisfy before anything in it is used; all samples at once. Each fault is a BetonError."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_loading.beton import layout
from data_loading.decode import JPEG, PNG, RAW
from data_loading.errors import BetonError


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


def names_and_types(path: Path, raw: np.ndarray, num_fields: int) -> tuple[list[str], list[int]]:
    """Names and type ids of the fields, in the file's order."""
    start, end = layout.HEADER.itemsize, layout.records_start(num_fields)
    found = np.frombuffer(raw[start:end].tobytes(), layout.DESCRIPTOR)
    names = []
    for i, raw_name in enumerate(found["name"].tolist()):  # numpy has dropped the zeros at the end
        name = raw_name.decode("latin-1")
        if not (name and name.isascii() and name.isprintable()):
            raise BetonError(f"{path} is damaged: the name of field {i} is {raw_name!r}")
        if name in names:
            raise BetonError(f"{path} has two fields named {name!r}")
        names.append(name)
    types = [int(t) for t in found["type_id"]]
    for name, type_id in zip(names, types, strict=True):
        if type_id == layout.CUSTOM:
            raise BetonError(
                f"{path}: field {name!r} has a type of its writer's own (255), whose size is not known; "
                f"write the file again without that field"
            )
        if type_id not in layout.COLUMNS:
            raise BetonError(f"{path}: field {name!r} has the unknown type {type_id}")
    return names, types


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
    page = head["page_size"]
    crosses = ptr // page != (ptr + size - np.uint64(1)) // page
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
    _none(path, ~np.isin(mode, (JPEG, RAW, PNG)), "sample", f"field {name!r} has an unknown image mode", values=mode)
    _none(path, (width == 0) | (height == 0), "sample", f"field {name!r} has an image of no pixels")
    wanted = column["ptr"].astype(np.uint64)
    at = np.minimum(np.searchsorted(ptr, wanted.astype(np.int64)), max(len(ptr) - 1, 0))
    missing = ptr[at].astype(np.uint64) != wanted if len(ptr) else np.ones(len(column), bool)
    _none(path, missing, "sample", f"field {name!r} points to a place that the table of allocations does not list")
    sizes = size[at] if len(ptr) else np.empty(0, np.int64)
    wrong = (mode == RAW) & (sizes != 3 * width * height)
    _none(path, wrong, "sample", f"field {name!r} has a raw image whose size differs from width x height x 3")
    return sizes


def _none(path: Path, bad: np.ndarray, what: str, fault: str, ids: np.ndarray | None = None, values=None) -> None:
    """Raise a BetonError that names the first True of `bad` and says how many there are."""
    if not bad.any():
        return
    i = int(np.argmax(bad))
    where = f"{what} {i}" if ids is None else f"{what} {i} of the table of allocations (sample {ids[i]})"
    shown = f" ({values[i]})" if values is not None else ""
    more = f"; {int(bad.sum())} in all" if bad.sum() > 1 else ""
    raise BetonError(f"{path} is damaged: {where}: {fault}{shown}{more}")
