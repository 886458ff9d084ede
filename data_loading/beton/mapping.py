"""Mapping: the bytes of one .beton file, or of several as if they lay in one, without reading them."""

from __future__ import annotations

import ctypes
import glob
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from data_loading.errors import BetonError

MAP_FIXED = 0x10  # of Linux and macOS; Python's mmap does not have it


class Part(NamedTuple):
    """A file's place among several: its bytes start, start + 1, ... of the memory, its samples row, row + 1, ...

    found: what the system said of the file when it was mapped. The map keeps its inode from being given to another.
    """

    path: Path
    start: int
    row: int
    found: os.stat_result

    @property
    def size(self) -> int:
        return self.found.st_size

    def open(self) -> IO[bytes]:
        """The same file to read, unbuffered; a BetonError where it is gone or another has taken its place."""
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
    """The files that a path, a pattern as "train-*.beton" (sorted by name), or a list of these stands for."""
    if not isinstance(path, str | Path):
        found = [file for one in path for file in named(one)]
        if not found:
            raise BetonError("the list of .beton files is empty; name at least one")
        return found
    if not is_pattern(path):
        return [Path(path)]
    found = sorted(glob.glob(str(path), recursive=True))
    if not found:
        raise BetonError(f"{path}: no file fits this pattern")
    return [Path(file) for file in found]


def is_pattern(path: str | Path) -> bool:
    """Whether it stands for several files; a file that is called so is itself."""
    return glob.has_magic(str(path)) and not Path(path).exists()


def called(paths: Sequence[Path]) -> str:
    """What errors call one file, or several: a.beton and 3 more."""
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else str(paths[0])


def mapped(path: Path) -> tuple[np.ndarray, os.stat_result]:
    """The file's bytes, uint8 (n,), read-only, and what the system says of it."""
    if path.is_dir():
        raise BetonError(f"{path} is a folder, not a .beton file; data_loading.sources.as_beton writes one from it")
    try:
        with open(path, "rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size == 0:
                raise BetonError(f"{path} is empty: 0 bytes")
            return np.memmap(file, np.uint8, mode="r").view(np.ndarray), found
    except FileNotFoundError:
        raise BetonError(f"{path}: there is no such file") from None
    except OSError as error:
        raise BetonError(f"{path} cannot be opened: {error.strerror or error}") from error


def mapped_together(parts: Sequence[Part]) -> np.ndarray:
    """The bytes of several files, uint8 (n,), read-only; zeros lie between them.

    parts: in order, not overlapping, each start a multiple of the system's page. Room for all is reserved, which takes
    no memory, and each file is mapped over its part of it; the room's owner unmaps all of it at once.
    """
    end = parts[-1].start + parts[-1].size
    room = mmap.mmap(-1, end, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    memory = np.frombuffer(room, np.uint8)
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
    for part in parts:
        with part.open() as file:
            wanted, flags = memory.ctypes.data + part.start, mmap.MAP_SHARED | MAP_FIXED
            if call(wanted, part.size, mmap.PROT_READ, flags, file.fileno(), 0) != wanted:
                raise BetonError(f"{part.path} cannot be mapped: {os.strerror(ctypes.get_errno())}")
    return memory
