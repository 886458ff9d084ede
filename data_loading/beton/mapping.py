"""Memory-map one .beton file, or several into one contiguous array, without reading them."""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_loading.errors import BetonError

MAP_FIXED = 0x10  # the value on Linux and macOS; Python's mmap module does not define it


class Part(NamedTuple):
    """One of the files of a Reader."""

    path: Path
    start: int  # offset of the file's first byte in Reader.memory
    row: int  # index of the file's first sample in the Reader
    found: os.stat_result  # when it was mapped; while mapped, no other file can get its inode number

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.found.st_size

    def check(self, path: Path) -> None:
        """BetonError if `path`, that of the file, is not what was mapped, or was written to: pages may be gone."""
        try:
            now = os.stat(path)
        except OSError as error:
            raise BetonError(f"{self.path} is no longer there: {error.strerror or error}") from error
        same = os.path.samestat(now, self.found) and now.st_size == self.size
        if not same or now.st_mtime_ns != self.found.st_mtime_ns:
            raise BetonError(f"{self.path} has been replaced or changed since it was opened; open it again")

    def open(self) -> FileIO:
        """Open the file, unbuffered. BetonError if it was removed, replaced or resized since it was mapped."""
        try:
            file = open(self.path, "rb", buffering=0)
        except OSError as error:
            raise BetonError(f"{self.path} cannot be opened: {error.strerror or error}") from error
        now = os.fstat(file.fileno())
        if not os.path.samestat(now, self.found) or now.st_size != self.size:
            file.close()
            raise BetonError(f"{self.path} has been replaced or changed since it was opened; open it again")
        return file


def named(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Expand a path, a pattern such as "train-*.beton" (sorted by name) or a list of these to a list of paths.

    BetonError for an empty list or a pattern without a match; paths are not checked for existence.
    """
    if not isinstance(path, str | Path):
        files = [file for item in path for file in named(item)]
        if not files:
            raise BetonError("the list of .beton files is empty; give at least one")
        return files
    if not is_pattern(path):
        return [Path(path)]
    matches = sorted(glob.glob(str(path), recursive=True))
    if not matches:
        raise BetonError(f"{path}: no file matches this pattern")
    return [Path(file) for file in matches]


def is_pattern(path: str | Path) -> bool:
    """Whether `path` has glob characters and is not the name of an existing file."""
    return glob.has_magic(str(path)) and not Path(path).exists()


def called(paths: Sequence[Path]) -> str:
    """The name of one file, or of several, in error messages: "a.beton and 3 more"."""
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else str(paths[0])


def map_file(path: Path) -> tuple[np.ndarray, os.stat_result]:
    """Memory-map a file. Returns its bytes, uint8 (n,), read-only, and its stat result; BetonError if it cannot be."""
    if path.is_dir():
        raise BetonError(f"{path} is a folder, not a .beton file; data_loading.sources.as_beton writes a file from it")
    try:
        with open(path, "rb") as file:
            stat = os.fstat(file.fileno())
            if stat.st_size == 0:
                raise BetonError(f"{path} is empty: 0 bytes")
            return np.memmap(file, np.uint8, mode="r").view(np.ndarray), stat
    except FileNotFoundError:
        raise BetonError(f"{path}: there is no such file") from None
    except OSError as error:
        raise BetonError(f"{path} cannot be opened: {error.strerror or error}") from error


def map_files(parts: Sequence[Part]) -> np.ndarray:
    """Memory-map several files into one array, uint8 (n,), read-only, with zeros in the gaps between them.

    parts: ordered by start and not overlapping; each start is a multiple of the system's page size.
    One anonymous mapping reserves the address range, and each file is mapped over its part with MAP_FIXED. Freeing the
    array unmaps everything.
    """
    end = parts[-1].start + parts[-1].size
    reserved = mmap.mmap(-1, end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    memory = np.frombuffer(reserved, np.uint8)
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    for part in parts:
        with part.open() as file:
            wanted, flags = memory.ctypes.data + part.start, mmap.MAP_SHARED | MAP_FIXED
            if call(wanted, part.size, mmap.PROT_READ, flags, file.fileno(), 0) != wanted:
                raise BetonError(f"{part.path} cannot be mapped: {os.strerror(ctypes.get_errno())}")
    return memory
