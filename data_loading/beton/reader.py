"""Reader: one or several .beton files opened and checked as a whole; pixels stay in the files' own memory map."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton import layout, tables, verify
from data_loading.beton.arrays import NDArrayField
from data_loading.beton.fields import Field
from data_loading.beton.mapping import Part, called, mapped, mapped_together, named
from data_loading.beton.tables import ImageTable, Tables
from data_loading.decode import JPEG, PNG, decode_jpeg, decode_png, decode_raw
from data_loading.errors import BetonError, DecodeError


class Reader:
    """A .beton file, written here or by FFCV, or several as one: the samples of the first, then those of the second ...

    path: of a file, a pattern such as "train-*.beton" (sorted by name), or a list; all files have the same fields.
    len(reader) samples; reader.fields: name -> field; reader[i]: name -> decoded value, memory of its own (an image is
    uint8 (H, W, 3) RGB, a tensor a numpy array). memory: the bytes, uint8 (n,), read-only, mapped; parts: which file
    lies where in it. page_size: bytes, the largest of all files.
    custom: name -> numpy dtype of the records of a field whose type is its writer's own (FFCV's type 255).
    BetonError for a file that is not whole; all is checked but the stored values, which are checked when decoded.
    """

    def __init__(self, path: str | Path | Sequence[str | Path], custom: Mapping[str, Any] = layout.EMPTY):
        paths = named(path)
        if len(paths) == 1:
            self.path = paths[0]
            self._memory: np.ndarray | None
            self._memory, stat = mapped(self.path)
            found = tables.read(self.path, self._memory, custom)
            self.parts = [Part(self.path, 0, 0, stat)]
        else:
            self.path = Path(path) if isinstance(path, str | Path) else Path(called(paths))
            found = self._open_all(paths, custom)
        self.fields: dict[str, Field] = found.fields
        self.page_size, self._length = found.page_size, found.length
        self._columns, self._images, self._places = found.columns, found.images, found.places

    def _open_all(self, paths: list[Path], custom: Mapping[str, Any]) -> Tables:
        every, stats = [], []
        for path in paths:
            raw, stat = mapped(path)
            every.append(tables.read(path, raw, custom))
            stats.append(stat)
        tables.check_alike(paths, every)
        # Pages of the largest size never reach into the next file, nor does a page of the system.
        step = max(layout.MIN_PAGE, *(one.page_size for one in every))
        starts = np.cumsum([0, *(-(-stat.st_size // step) * step for stat in stats)])[:-1].tolist()
        rows = np.cumsum([0, *(one.length for one in every)])[:-1].tolist()
        self.parts = [Part(*part) for part in zip(paths, starts, rows, stats, strict=True)]
        self._memory = mapped_together(self.parts)
        return tables.together(every, starts)

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
            raise BetonError(f"{self.name(i)}: field {name!r}: {error}") from None

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
    def labels(self) -> np.ndarray:
        """The integers (N,) of the field `label`; -1 for each sample where the file has no such field."""
        if "label" in self.fields and self.fields["label"].kind == "int":
            return self._columns["label"]
        return np.full(len(self), -1)

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
        """Hash of the whole file, in hex (of several: of their hashes); once per path, time of change and size."""
        hashes = [_sha256(part, part.found.st_mtime_ns) for part in self.parts]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()

    def name(self, i: int) -> str:
        """What errors call sample i: its file and its row there."""
        part = self.parts[bisect.bisect_right(self.parts, i, key=lambda part: part.row) - 1]
        return f"{part.path}: sample {i - part.row}"

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
            raise type(error)(f"{self.name(i)}: field {name!r}: {error}") from error


@lru_cache(maxsize=256)
def _sha256(part: Part, mtime_ns: int) -> str:  # part alone compares whole seconds
    with part.open() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
