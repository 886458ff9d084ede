"""A cache of folders, archives and named data sets as .beton files, rewritten when the source changes."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_loading.beton.layout import is_beton
from data_loading.beton.mapping import is_pattern
from data_loading.beton.writer import BetonWriter
from data_loading.errors import DecodeError, SourceError, printable
from data_loading.sources.base import Source
from data_loading.sources.index import CACHED, check_set, is_index, write_index
from data_loading.sources.names import open as open_source

log = logging.getLogger(__name__)
CACHE = Path("runs/.cache")  # relative to the current folder
BETON = (".beton", ".ffcv", ".dat")  # suffixes that FFCV users give .beton files; others are known by their content
CACHE_VERSION = 2  # part of the cache key; increase it when the same source is to be written differently


def as_beton(
    path: str | Path | Sequence[str | Path],
    cache: str | Path = CACHE,
    subset: str | None = None,
    indices: Sequence[int] | np.ndarray | None = None,
    skip_bad: bool = False,
    progress: bool = True,
    num_workers: int = 1,
) -> Path | list[Path]:
    """The path of a .beton file with the data of `path`; written to the cache first if `path` is not a .beton file.

    path: a folder, .zip, .npz or name that `open` accepts: written to cache/<key>/data.beton, with classes, labels,
        paths and fingerprint in index.json beside it, and reused until the fingerprint of the source changes.
        A .beton file of any name, a pattern such as "train-*.beton", or a list of these: returned unchanged.
    indices: rows of the source to write; None means all.  subset: a name for them, part of the cache key.
    skip_bad: leave out images that do not decode, and log how many; otherwise they are a SourceError.
    progress: show a progress bar if stderr is a terminal.  num_workers: processes that encode.
    Safe to call from several processes: a file lock makes the others wait for the one that writes.
    SourceError if `path` does not exist, is not readable, or the cache folder is not writable; and if the files of a
    list or pattern have other class names than each other. Shards that are missing are a warning.
    """
    if path == "":  # as an unset variable gives; Path("") would be the current folder
        raise SourceError("the path of the data is empty; name a folder or a .beton file")
    if not isinstance(path, str | Path):
        others = [item for item in path if not _is_beton(Path(item))]
        if others:
            raise SourceError(
                f"{others[0]} is not a .beton file, but in a list each must be one; massrl data write makes it"
            )
        files = [_written(Path(item), indices) for item in path]
        check_set(files)
        return files
    path = Path(path)
    if _is_beton(path):
        file = _written(path, indices)
        check_set(file)
        return file
    source = open_source(path)
    rows = np.arange(len(source)) if indices is None else np.asarray(indices, np.int64)
    folder = Path(cache) / _key(path, subset, None if indices is None else rows)
    file, index = folder / CACHED, folder / "index.json"
    fingerprint = source.fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder / "lock"):
            entry = _entry(file, index, fingerprint)
            if entry is None or (entry["skipped"] and not skip_bad):
                entry = _write(source, rows, file, index, skip_bad, progress, num_workers)
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}; choose another cache folder") from error
    if entry["skipped"]:
        first = printable(entry["skipped"][0])
        log.warning("%s: left out %d unreadable images, first %s", path, len(entry["skipped"]), first)
    return file


def _is_beton(path: Path) -> bool:
    """Whether a file is a .beton file by its name, or begins as one, or whether a pattern is of such files."""
    if path.suffix in BETON or is_beton(path):
        return True
    return is_pattern(path) and any(is_beton(Path(file)) for file in glob.glob(str(path), recursive=True))


def _written(path: Path, indices: Sequence[int] | np.ndarray | None) -> Path:
    """A .beton file, or a pattern of some, as it is; rows of it cannot be chosen here."""
    if not path.exists() and not is_pattern(path):
        raise SourceError(f"{path}: there is no such file")
    if indices is not None:
        raise SourceError(f"{path}: `indices` is for folders only; give `indices` to the Loader instead")
    return path


def _write(
    source: Source, rows: np.ndarray, file: Path, index: Path, skip_bad: bool, progress: bool, num_workers: int
) -> dict:
    writer = BetonWriter(file, source.fields(), num_workers=num_workers)
    try:
        writer.from_indexed_dataset(source, rows, progress=progress, skip_bad=skip_bad)
    except DecodeError as error:
        raise SourceError(str(error)) from error
    # Written last: a data.beton without a matching index.json is written again.
    return write_index(index, file, source, writer.rows, fingerprint=source.fingerprint(), skipped=writer.skipped)


def _entry(file: Path, index: Path, fingerprint: str) -> dict | None:
    """The content of index.json if it is valid and matches the fingerprint and the size of data.beton; else None."""
    try:
        entry = json.loads(index.read_text())
        fits = is_index(entry) and entry["bytes"] == file.stat().st_size and "skipped" in entry
    except (OSError, ValueError, RecursionError):
        return None
    return entry if fits and entry.get("fingerprint") == fingerprint else None


def _key(path: Path, subset: str | None, rows: np.ndarray | None) -> str:
    """The name of the cache folder: 16 hex digits that depend on the source's path, `subset` and `rows`."""
    rows_hash = "" if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()
    source = str(path) if str(path) == "digits" else str(path.resolve())
    return hashlib.sha256(json.dumps([CACHE_VERSION, source, subset, rows_hash]).encode()).hexdigest()[:16]


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `lock`. The operating system releases it if the process is killed."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
