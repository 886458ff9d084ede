"""Reader: a .beton file opened and checked as a whole; pixels stay in the file's own memory map."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_loading.beton import layout, verify
from data_loading.beton.arrays import NDArrayField
from data_loading.beton.fields import CustomField, Field
from data_loading.decode import JPEG, PNG, decode_jpeg, decode_png, decode_raw
from data_loading.errors import BetonError, DecodeError


class ImageTable(NamedTuple):
    """An image column as arrays of length N: what is stored where. Sides in pixels, ptr and size in bytes."""

    mode: np.ndarray  # (N,) uint8: JPEG, RAW or PNG of data_loading.decode
    height: np.ndarray  # (N,) int32
    width: np.ndarray  # (N,) int32
    ptr: np.ndarray  # (N,) int64, from the start of the file
    size: np.ndarray  # (N,) int64


class Reader:
    """A .beton file, written here or by FFCV.

    len(reader) samples; reader.fields: name -> field; reader[i]: name -> decoded value, memory of its own (an image is
    uint8 (H, W, 3) RGB, a tensor a numpy array). memory: the file's bytes, uint8 (n,), read-only, mapped.
    custom: name -> numpy dtype of the records of a field whose type is its writer's own (FFCV's type 255).
    BetonError for a file that is not whole; all is checked but the stored values, which are checked when decoded.
    """

    def __init__(self, path: str | Path, custom: Mapping[str, Any] = layout.EMPTY):
        self.path = Path(path)
        self._memory: np.ndarray | None = _mapped(self.path)
        raw = self._memory
        head = verify.header(self.path, raw)
        self.fields: dict[str, Field] = verify.fields(self.path, raw, head["num_fields"], custom)
        kinds = list(self.fields.values())
        dtypes = {i: field.dtype for i, field in enumerate(kinds) if isinstance(field, CustomField)}
        record = layout.record_dtype([field.type_id for field in kinds], dtypes)
        entries = verify.table_place(self.path, raw.size, head, record.itemsize)
        self.page_size: int = head["page_size"]
        self._length: int = head["num_samples"]
        start = layout.records_start(head["num_fields"])
        records = np.frombuffer(raw, record, self._length, start)
        table = np.frombuffer(raw, layout.ALLOCATION, entries, head["alloc_table_ptr"])
        ptr, size = verify.allocations(self.path, table, head, record.itemsize)
        self._columns: dict[str, np.ndarray] = {}  # of fields whose records hold the values themselves
        self._images: dict[str, ImageTable] = {}
        self._places: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # of all other fields: ptr and size (N,) int64
        for i, (name, field) in enumerate(self.fields.items()):
            column = records[str(i)]
            if field.kind == "image":
                sizes = verify.image_sizes(self.path, name, column, ptr, size)
                kinds = (("mode", np.uint8), ("height", np.int32), ("width", np.int32), ("ptr", np.int64))
                self._images[name] = ImageTable(*(column[key].astype(kind) for key, kind in kinds), sizes)
            elif not layout.has_value(field.type_id):
                self._columns[name] = np.ascontiguousarray(column)
            else:
                self._places[name] = self._checked_places(name, field, column, ptr, size)

    def _checked_places(self, name: str, field: Field, column: np.ndarray, ptr: np.ndarray, size: np.ndarray):
        if isinstance(field, NDArrayField):
            if field.size > self.memory.size:
                raise BetonError(
                    f"{self.path}: field {name!r}: its values of {field.dtype} {field.shape} are larger than the file"
                )
            wanted, stated = column, np.broadcast_to(np.uint64(field.size), column.shape)
        else:
            wanted, stated = column["ptr"], column["size"]
        verify.sizes(self.path, name, wanted, stated, ptr, size)
        return wanted.astype(np.int64), stated.astype(np.int64)

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; arrays that were taken from `memory` keep it open until they are gone."""
        self._memory = None

    @property
    def memory(self) -> np.ndarray:
        if self._memory is None:
            raise BetonError(f"{self.path}: the reader has been closed")
        return self._memory

    def __getitem__(self, i: int) -> dict[str, Any]:
        if not -self._length <= i < self._length:
            raise IndexError(f"{self.path}: sample {i} of {self._length}")
        return {name: self.value(name, i % self._length) for name in self.fields}

    def value(self, name: str, i: int) -> Any:
        """The value of field `name` of sample i (0 <= i < len)."""
        if self._field(name).kind == "image":
            return self._image(name, i)
        if name in self._columns:
            return self._columns[name][i].item()
        ptr, size = (int(column[i]) for column in self._places[name])
        try:
            return self.fields[name].decode(self._stored(ptr, size))
        except BetonError as error:
            raise BetonError(f"{self.path}: sample {i}: field {name!r}: {error}") from None

    def values(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray | list[Any]:
        """The values of field `name` of the samples `rows` (n,), 0 <= row < len.

        int64 or float64 (n,); (n, *shape) in their stored dtype for arrays and tensors; lists of bytes, of JSON's
        Python values, of images.
        """
        field, rows = self._field(name), np.asarray(rows, np.int64)
        if name in self._columns:
            return self._columns[name][rows]
        if not isinstance(field, NDArrayField):
            return [self.value(name, int(row)) for row in rows]
        if not field.size:
            return field.decode_all(np.empty((len(rows), 0), np.uint8))
        windows = np.lib.stride_tricks.sliding_window_view(self.memory, field.size)  # one for each byte of the file
        try:
            return field.decode_all(windows[self._places[name][0][rows]])
        except BetonError:
            for row in rows.tolist():
                self.value(name, row)  # raises for the first bad one, with its number
            raise

    def column(self, name: str) -> np.ndarray:
        """All values (N,) of an int or float field, int64 or float64; the records of a custom one."""
        if self._field(name).kind not in ("int", "float", "custom"):
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not int or float")
        return self._columns[name]

    @property
    def image_field(self) -> str:
        """The field whose images are loaded: `image`, else the only one of images."""
        names = [name for name, field in self.fields.items() if field.kind == "image"]
        if "image" not in names and len(names) != 1:
            found = f"several fields of images ({', '.join(names)})" if names else "no field of images"
            raise BetonError(f"{self.path} has {found}; write it with one that is named image")
        return "image" if "image" in names else names[0]

    def image_table(self, name: str | None = None) -> ImageTable:
        """Where and how the images of a field are stored."""
        name = self.image_field if name is None else name
        if self._field(name).kind != "image":
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not image")
        return self._images[name]

    def stored_sizes(self, name: str) -> np.ndarray:
        """Bytes (N,) int64 that each value of a field takes on the pages; none where records hold the values."""
        self._field(name)
        if name in self._columns:
            return np.zeros(self._length, np.int64)
        return self._images[name].size if name in self._images else self._places[name][1]

    def sha256(self) -> str:
        """Hash of the whole file, in hex; computed once per path, time of change and size."""
        found = self.path.stat()
        return _sha256(self.path.resolve(), found.st_mtime_ns, found.st_size)

    def _field(self, name: str) -> Field:
        if name not in self.fields:
            raise BetonError(f"{self.path} has no field {name!r}; it has {', '.join(self.fields)}")
        return self.fields[name]

    def _stored(self, ptr: int, size: int) -> np.ndarray:
        return self.memory[ptr : ptr + size] if size else np.empty(0, np.uint8)  # an empty value may point anywhere

    def _image(self, name: str, i: int) -> np.ndarray:
        mode, height, width, ptr, size = (int(column[i]) for column in self._images[name])
        data = self._stored(ptr, size)
        try:
            verify.image_header(data, mode, height, width)
            if mode == JPEG:
                return decode_jpeg(data)
            return decode_png(data) if mode == PNG else decode_raw(data, height, width).copy()
        except (DecodeError, BetonError) as error:
            raise type(error)(f"{self.path}: sample {i}: field {name!r}: {error}") from error


def _mapped(path: Path) -> np.ndarray:
    """The file's bytes, uint8 (n,), read-only."""
    if path.is_dir():
        raise BetonError(f"{path} is a folder, not a .beton file; data_loading.sources.as_beton writes one from it")
    try:
        if path.stat().st_size == 0:
            raise BetonError(f"{path} is empty: 0 bytes")
        return np.memmap(path, np.uint8, mode="r").view(np.ndarray)
    except FileNotFoundError:
        raise BetonError(f"{path}: there is no such file") from None
    except OSError as error:
        raise BetonError(f"{path} cannot be opened: {error.strerror or error}") from error


@lru_cache(maxsize=256)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
