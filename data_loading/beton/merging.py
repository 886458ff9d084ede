"""Merge .beton files: one file with the samples of several, byte for byte as a single writer writes it.

Values are copied one sample at a time, so memory holds the tables of one part and those of the result, but no more than
the values of one sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_loading.beton import layout, verify
from data_loading.beton.fields import Field
from data_loading.beton.mapping import Part, map_file
from data_loading.beton.output import Output
from data_loading.beton.tables import Tables, check_same_fields, read_tables
from data_loading.beton.workers import Encoded
from data_loading.errors import BetonError, DecodeError

Take = Callable[[FileIO, int], tuple[Any, bytes | None]]  # (the part's file, row) -> record and value of a field


def merge_files(path: Path, files: Sequence[Path], progress: bool = True) -> int:
    """Write the samples of `files`, in their order, to the file `path`, which appears only when it is complete.

    Returns their number. All files are checked, as a Reader does, before anything is written, and the header of each
    image when it is copied. Pages are as large as the largest of the files.
    BetonError if a file is damaged or has other fields than the first, if none has samples, or `path` cannot be
    written.
    """
    opened = [_open(file) for file in files]
    parts, tables = [part for part, _ in opened], [table for _, table in opened]
    check_same_fields(files, tables)
    count = sum(table.length for table in tables)
    if not count:
        raise BetonError(f"{files[0]}{' and all others' if len(files) > 1 else ''}: no samples, so nothing to write")
    if path.is_dir():
        raise BetonError(f"{path} is a folder; give the path of the file to write")
    output = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        page = max(layout.MIN_PAGE, *(table.page_size for table in tables))
        output = Output(path, tables[0].fields, count, page)
        with tqdm(total=count, desc=path.name, unit="sample", disable=None if progress else True) as bar:
            for part in parts:
                for sample in _samples(part, tables[0].fields):
                    output.add(sample)
                    bar.update()
        output.finish()
    except OSError as error:
        raise BetonError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if output is not None:
            output.discard()
    return count


def _open(file: Path) -> tuple[Part, Tables]:
    """Check a file. Of its tables only fields, page size and length are kept."""
    raw, stat = map_file(file)
    tables = read_tables(file, raw, layout.EMPTY)
    return Part(file, 0, 0, stat), Tables(tables.fields, tables.page_size, tables.length)


def _samples(part: Part, fields: Mapping[str, Field]) -> Iterator[Encoded]:
    """The samples of a file as they were encoded, their values in the order of `fields`, perhaps not the file's."""
    part.check(part.path)
    raw, _ = map_file(part.path)
    tables = read_tables(part.path, raw, layout.EMPTY)
    del raw  # values are read, not mapped, so that a file that is cut short meanwhile does not end the process
    takes = [_take(part.path, name, kind, tables) for name, kind in fields.items()]
    with part.open() as file:
        for row in range(tables.length):
            records, values = zip(*(take(file, row) for take in takes), strict=True)
            yield Encoded(list(records), list(values))


def _take(path: Path, name: str, kind: Field, tables: Tables) -> Take:
    """The function that reads record and value of a field."""
    if name in tables.columns:
        column = tables.columns[name]
        return lambda file, row: (column[row], None)
    if name in tables.images:
        return _take_image(path, name, tables)
    pointers, sizes = tables.spans[name]
    states_size = layout.COLUMNS[kind.type_id][1] == layout.BYTES

    def take(file: FileIO, row: int) -> tuple[Any, bytes]:
        size = int(sizes[row])
        return (size,) if states_size else (), _read(path, file, int(pointers[row]), size)

    return take


def _take_image(path: Path, name: str, tables: Tables) -> Take:
    """As `_take`, of an image field: the header of each image is checked."""
    table = tables.images[name]

    def take(file: FileIO, row: int) -> tuple[Any, bytes]:
        mode, height, width, pointer, size = (int(column[row]) for column in table)
        value = _read(path, file, pointer, size)
        try:
            verify.image_header(np.frombuffer(value, np.uint8), mode, height, width)
        except (DecodeError, BetonError) as error:
            raise BetonError(f"{path}: sample {row}: field {name!r}: {error}") from error
        return (mode, width, height), value

    return take


def _read(path: Path, file: FileIO, pointer: int, size: int) -> bytes:
    """`size` bytes from byte `pointer` on."""
    try:
        data = os.pread(file.fileno(), size, pointer) if size else b""  # the pointer of an empty value can be anything
    except OSError as error:
        raise BetonError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) < size:
        raise BetonError(f"{path} was cut short while it was read; write it again")
    return data
