"""Folders as .beton files: written once to a cache, found again while the folder has not changed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from data_loading.beton.mapping import is_pattern
from data_loading.beton.writer import BetonWriter
from data_loading.config.atomic import write_whole
from data_loading.errors import DecodeError, SourceError
from data_loading.sources.base import Source
from data_loading.sources.names import open as open_source

log = logging.getLogger(__name__)
CACHE = Path("runs/.cache")
BETON = (".beton", ".ffcv", ".dat")  # suffixes that FFCV's users give such files
FORM = 1  # counted up when the same folder should be written another way


def as_beton(
    path: str | Path | Sequence[str | Path],
    cache: str | Path = CACHE,
    subset: str | None = None,
    indices: Sequence[int] | None = None,
    skip_bad: bool = False,
    progress: bool = True,
    num_workers: int = 1,
) -> Path | list[Path]:
    """The .beton file of `path`: that file itself, or cache/<hash>/data.beton written from the folder (or "digits").
    A pattern as "train-*.beton", and a list of .beton files and patterns, come back as they are for a Reader.

    subset: a name for the rows `indices` of the folder, which are kept apart from others (as a train and a test part).
    skip_bad: leave unreadable images out and say how many. Beside the file index.json tells classes, paths, labels
    and fingerprint. Processes that ask at the same time wait for the one that writes.
    """
    if not isinstance(path, str | Path):
        others = [one for one in path if Path(one).suffix not in BETON]
        if others:
            raise SourceError(f"{others[0]} is no .beton file; in a list each must be one: massrl data write makes it")
        return [as_beton(one, indices=indices) for one in path]
    path = Path(path)
    if path.suffix in BETON:
        if not path.exists() and not is_pattern(path):
            raise SourceError(f"{path}: there is no such file")
        if indices is not None:
            raise SourceError(f"{path}: rows are chosen from folders only; give the Loader `indices`")
        return path
    source = open_source(path)
    rows = np.arange(len(source)) if indices is None else np.asarray(indices, np.int64)
    folder = Path(cache) / _key(path, subset, None if indices is None else rows)
    file, index = folder / "data.beton", folder / "index.json"
    fingerprint = source.fingerprint()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / "lock"):
            entry = _entry(file, index, fingerprint)
            if entry is None or (entry["skipped"] and not skip_bad):
                entry = _write(source, rows, file, index, skip_bad, progress, num_workers)
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}; choose another cache folder") from error
    if entry["skipped"]:
        log.warning("%s: left out %d unreadable images, first %s", path, len(entry["skipped"]), entry["skipped"][0])
    return file


def read_index(file: str | Path | Sequence[Path]) -> dict | None:
    """What index.json says of a file in the cache, or None for files without one."""
    if not isinstance(file, str | Path):
        return None
    index = Path(file).with_name("index.json")
    return json.loads(index.read_text()) if index.exists() else None


def _write(
    source: Source, rows: np.ndarray, file: Path, index: Path, skip_bad: bool, progress: bool, num_workers: int
) -> dict:
    writer = BetonWriter(file, source.fields(), num_workers=num_workers)
    try:
        writer.from_indexed_dataset(source, rows, progress=progress, skip_bad=skip_bad)
    except DecodeError as error:
        raise SourceError(str(error)) from error
    entry = {
        "fingerprint": source.fingerprint(),
        "bytes": file.stat().st_size,
        "classes": source.classes,
        "skipped": writer.skipped,
        "paths": [source.paths[i] for i in writer.rows],
        "labels": None if source.labels is None else source.labels[writer.rows].tolist(),
    }
    write_whole(index, json.dumps(entry))  # last: without a fitting index.json a data.beton is written again
    return entry


def _entry(file: Path, index: Path, fingerprint: str) -> dict | None:
    """index.json, where it is whole, fits the folder as it is now, and the data lie beside it; else None."""
    try:
        entry = json.loads(index.read_text())
        fits = entry["fingerprint"] == fingerprint and entry["bytes"] == file.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return entry if fits else None


def _key(path: Path, subset: str | None, rows: np.ndarray | None) -> str:
    drawn = "" if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()
    place = str(path) if str(path) == "digits" else str(path.resolve())
    return hashlib.sha256(json.dumps([FORM, place, subset, drawn]).encode()).hexdigest()[:16]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock file; the system lets go of it when the process ends, however it ends."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
