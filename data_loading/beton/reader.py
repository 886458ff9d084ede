"""Reader: a .beton file opened and checked as a whole; pixels stay in the file's own memory map."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_loading.beton import layout, verify
from data_loading.beton.fields import Field, stored_field
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

    len(reader) samples; reader.fields: name -> field; reader[i]: name -> decoded value (an image is uint8 (H, W, 3)
    RGB, memory of its own). memory: the file's bytes, uint8 (n,), read-only, mapped. BetonError for a file that
    is not whole; its contents are checked without touching the pixels, which are checked when they are decoded.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._memory: np.ndarray | None = _mapped(self.path)
        raw = self._memory
        head = verify.header(self.path, raw)
        names, types = verify.names_and_types(self.path, raw, head["num_fields"])
        record = layout.record_dtype(types)
        entries = verify.table_place(self.path, raw.size, head, record.itemsize)
        self.page_size: int = head["page_size"]
        self.fields: dict[str, Field] = {n: stored_field(t) for n, t in zip(names, types, strict=True)}
        self._length: int = head["num_samples"]
        start = layout.records_start(head["num_fields"])
        records = np.frombuffer(raw, record, self._length, start)
        table = np.frombuffer(raw, layout.ALLOCATION, entries, head["alloc_table_ptr"])
        ptr, size = verify.allocations(self.path, table, head, record.itemsize)
        self._ints: dict[str, np.ndarray] = {}
        self._images: dict[str, ImageTable] = {}
        for i, (name, field) in enumerate(self.fields.items()):
            column = records[str(i)]
            if field.kind == "int":
                self._ints[name] = column.astype(np.int64)
            elif field.kind == "image":
                sizes = verify.image_sizes(self.path, name, column, ptr, size)
                kinds = (("mode", np.uint8), ("height", np.int32), ("width", np.int32), ("ptr", np.int64))
                self._images[name] = ImageTable(*(column[key].astype(kind) for key, kind in kinds), sizes)

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
        kind = self._field(name).kind
        if kind == "int":
            return int(self._ints[name][i])
        if kind == "image":
            return self._image(name, i)
        raise BetonError(f"{self.path}: field {name!r} is of type {kind}, which cannot be read yet; image and int can")

    def column(self, name: str) -> np.ndarray:
        """The values (N,) int64 of an int field."""
        if self._field(name).kind != "int":
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not int")
        return self._ints[name]

    def image_table(self, name: str = "image") -> ImageTable:
        """Where and how the images of a field are stored."""
        if self._field(name).kind != "image":
            raise BetonError(f"{self.path}: field {name!r} is of type {self.fields[name].kind}, not image")
        return self._images[name]

    def sha256(self) -> str:
        """Hash of the whole file, in hex; computed once per path, time of change and size."""
        found = self.path.stat()
        return _sha256(self.path.resolve(), found.st_mtime_ns, found.st_size)

    def _field(self, name: str) -> Field:
        if name not in self.fields:
            raise BetonError(f"{self.path} has no field {name!r}; it has {', '.join(self.fields)}")
        return self.fields[name]

    def _image(self, name: str, i: int) -> np.ndarray:
        mode, height, width, ptr, size = (int(column[i]) for column in self._images[name])
        data = self.memory[ptr : ptr + size]
        try:
            if mode == JPEG:
                image = decode_jpeg(data)
            elif mode == PNG:
                image = decode_png(data)
            else:
                image = decode_raw(data, height, width).copy()
        except DecodeError as error:
            raise DecodeError(f"{self.path}: sample {i}: field {name!r}: {error}") from error
        if image.shape != (height, width, 3):
            raise BetonError(
                f"{self.path} is damaged: sample {i}: field {name!r}: the image is {image.shape[1]} x "
                f"{image.shape[0]}, its record says {width} x {height}"
            )
        return image


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
