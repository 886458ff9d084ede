"""Reader: open and check one or several .beton files. Pixel data stays in the memory-mapped files."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton import layout, verify
from data_loading.beton.arrays import NDArrayField
from data_loading.beton.fields import Field
from data_loading.beton.mapping import Part, called, map_file, map_files, named
from data_loading.beton.tables import ImageTable, Tables, check_same_fields, concatenate, read_tables
from data_loading.decode import JPEG, PNG, decode_jpeg, decode_png, decode_raw
from data_loading.errors import BetonError, DecodeError

LIKE_LABELS = ("y", "labels", "target", "targets", "class", "cls")  # names of int fields that others read as labels


class Reader:
    """Random access to a .beton file written by this package or by FFCV, or to several files concatenated.

    path: a file, a pattern such as "train-*.beton" (sorted by name), or a list of these. All files must have the same
    fields.
    custom: name -> numpy dtype of the records, for each field of a user-defined type (FFCV's type 255).

    len(reader) is the number of samples. reader[i] is a dict, name -> decoded value: images are uint8 (H, W, 3) RGB,
    tensors are numpy arrays; all values are copies. Attributes:
        fields     name -> Field
        memory     bytes of the mapped files, uint8 (n,), read-only
        parts      list of Part: which range of `memory` and of samples belongs to which file
        page_size  bytes, the largest of all files

    Opening checks header, records and allocation table and raises BetonError if the file is damaged. Stored values are
    checked when they are decoded.
    """

    def __init__(self, path: str | Path | Sequence[str | Path], custom: Mapping[str, Any] = layout.EMPTY):
        paths = named(path)
        if len(paths) == 1:
            self.path = paths[0]
            self._memory: np.ndarray | None
            self._memory, stat = map_file(self.path)
            tables = read_tables(self.path, self._memory, custom)
            self.parts = [Part(self.path, 0, 0, stat)]
        else:
            self.path = Path(path) if isinstance(path, str | Path) else Path(called(paths))
            tables = self._open_all(paths, custom)
        self.fields: dict[str, Field] = tables.fields
        self.page_size, self._length = tables.page_size, tables.length
        self._columns, self._images, self._spans = tables.columns, tables.images, tables.spans

    def _open_all(self, paths: list[Path], custom: Mapping[str, Any]) -> Tables:
        """Map several files into one array and concatenate their tables."""
        tables, stats = [], []
        for path in paths:
            raw, stat = map_file(path)
            tables.append(read_tables(path, raw, custom))
            stats.append(stat)
        check_same_fields(paths, tables)
        # Each file starts at a multiple of the largest page size, so that no page spans two files.
        step = max(layout.MIN_PAGE, *(table.page_size for table in tables))
        starts = np.cumsum([0, *(-(-stat.st_size // step) * step for stat in stats)])[:-1].tolist()
        rows = np.cumsum([0, *(table.length for table in tables)])[:-1].tolist()
        self.parts = [Part(*part) for part in zip(paths, starts, rows, stats, strict=True)]
        self._memory = map_files(self.parts)
        return concatenate(tables, starts)

    def __len__(self) -> int:
        return self._length

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Release the memory map; arrays taken from `memory` keep it alive. Later reads of values are a BetonError."""
        self._memory = None

    @property
    def memory(self) -> np.ndarray:
        """The bytes of the mapped files, uint8 (n,), read-only; BetonError after `close`."""
        if self._memory is None:
            raise BetonError(f"{self.path}: the reader has been closed")
        return self._memory

    def __getitem__(self, i: int) -> dict[str, Any]:
        if not -self._length <= i < self._length:
            raise IndexError(f"{self.path}: sample {i} of {self._length}")
        return {name: self.value(name, i % self._length) for name in self.fields}

    def value(self, name: str, i: int) -> Any:
        """The decoded value of field `name` of sample i, 0 <= i < len(reader). BetonError or DecodeError if damaged."""
        if self._field(name).kind == "image":
            return self._image(name, i)
        if name in self._columns:
            return self._columns[name][i].item()
        ptr, size = (int(column[i]) for column in self._spans[name])
        try:
            return self.fields[name].decode(self._stored(ptr, size))
        except BetonError as error:
            raise BetonError(f"{self.name(i)}: field {name!r}: {error}") from None

    def values(self, name: str, rows: Sequence[int] | np.ndarray) -> np.ndarray | list[Any]:
        """The decoded values of field `name` for the samples `rows`, integers (n,) with 0 <= row < len(reader).

        int64 or float64 (n,) for int and float fields, (n, *shape) in the stored dtype for arrays and tensors, a list
        of n values for bytes, JSON and images.
        """
        field, rows = self._field(name), np.asarray(rows, np.int64)
        if name in self._columns:
            return self._columns[name][rows]
        if not isinstance(field, NDArrayField):
            return [self.value(name, int(row)) for row in rows]
        if not field.size:
            return field.decode_all(np.empty((len(rows), 0), np.uint8))
        # A view (bytes in memory, size), whose row `ptr` is a value.
        windows = np.lib.stride_tricks.sliding_window_view(self.memory, field.size)
        try:
            return field.decode_all(windows[self._spans[name][0][rows]])
        except BetonError:
            for row in rows.tolist():
                self.value(name, row)  # raises for the first bad sample, with its index
            raise

    def column(self, name: str) -> np.ndarray:
        """All values (N,) of an int field (int64), float field (float64) or custom field (its record dtype)."""
        if self._field(name).kind not in ("int", "float", "custom"):
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not int or float")
        return self._columns[name]

    @property
    def labels(self) -> np.ndarray:
        """int64 (N,): the field `label` if it is an int field, else -1 for every sample."""
        if "label" in self.fields and self.fields["label"].kind == "int":
            return self._columns["label"]
        return np.full(len(self), -1)

    @property
    def why_unlabelled(self) -> str:
        """Why `labels` are -1 although a field looks like labels, in words; "" where they are not, or none does."""
        kinds = {name: field.kind for name, field in self.fields.items()}
        kind = kinds.get("label", "int")
        if kind != "int":
            return f"its field label is of type {kind}, not int, so the images have no labels; write it as an IntField"
        meant = next((name for name in LIKE_LABELS if kinds.get(name) == "int"), None)
        if "label" in kinds or meant is None:
            return ""
        return f"its int field {meant} is not read as labels; write the file with a field named label"

    @property
    def image_field(self) -> str:
        """The name of the field that loaders read: `image`, else the only image field. BetonError if ambiguous."""
        names = [name for name, field in self.fields.items() if field.kind == "image"]
        if "image" not in names and len(names) != 1:
            found = f"several image fields ({', '.join(names)})" if names else "no image field"
            raise BetonError(f"{self.path} has {found}; write the file again with an image field named image")
        return "image" if "image" in names else names[0]

    def image_table(self, name: str | None = None) -> ImageTable:
        """Mode, sides, offset and size of each stored image of field `name` (default: image_field)."""
        name = self.image_field if name is None else name
        if self._field(name).kind != "image":
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not image")
        return self._images[name]

    def stored_sizes(self, name: str) -> np.ndarray:
        """Bytes per value on the pages, int64 (N,); zeros for fields whose values are stored in the records."""
        self._field(name)
        if name in self._columns:
            return np.zeros(self._length, np.int64)
        return self._images[name].size if name in self._images else self._spans[name][1]

    def sha256(self) -> str:
        """SHA-256 of the file in hex; for several files, of their concatenated digests. Cached until a file changes."""
        hashes = [_sha256(part, part.found.st_mtime_ns) for part in self.parts]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def name(self, i: int) -> str:
        """Sample i in error messages: its file and its row in that file."""
        part = self.parts[bisect.bisect_right(self.parts, i, key=lambda part: part.row) - 1]
        return f"{part.path}: sample {i - part.row}"

    def _field(self, name: str) -> Field:
        if name not in self.fields:
            raise BetonError(f"{self.path} has no field {name!r}; it has {', '.join(self.fields)}")
        return self.fields[name]

    def _stored(self, ptr: int, size: int) -> np.ndarray:
        if not size:  # the pointer of an empty value can be anything
            return np.empty(0, np.uint8)
        return self.memory[ptr : ptr + size]

    def _image(self, name: str, i: int) -> np.ndarray:
        mode, height, width, ptr, size = (int(column[i]) for column in self._images[name])
        data = self._stored(ptr, size)
        try:
            verify.image_header(data, mode, height, width)
            if mode == JPEG:
                return decode_jpeg(data)
            return decode_png(data) if mode == PNG else decode_raw(data, height, width).copy()
        except (DecodeError, BetonError) as error:
            raise type(error)(f"{self.name(i)}: field {name!r}: {error}") from error


@lru_cache(maxsize=256)
def _sha256(part: Part, mtime_ns: int) -> str:  # part compares stat times in whole seconds only
    with part.open() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
