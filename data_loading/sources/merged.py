"""merge: one .beton file and its index of several, byte for byte those that one process would have written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from stat import S_ISREG
from typing import Any

from data_loading.beton.mapping import named
from data_loading.beton.merging import merge_files
from data_loading.beton.shards import Found, Shard, by_name, fault
from data_loading.errors import BetonError, SourceError
from data_loading.sources.index import LISTS, index_of, joined, read_index, write_lists

Index = dict[str, Any] | None


def merge(path: str | Path, parts: str | Path | Sequence[str | Path], progress: bool = True) -> Path:
    """Write the samples of several .beton files to one file, and their names to its index. Returns its path.

    path: the file to write; it appears only when it is complete.
    parts: a pattern such as "train-*.beton" (sorted by name), or a list of files or patterns.
    progress: show a progress bar if stderr is a terminal.

    Of shards, as `massrl data write --shards` writes them, file and index equal those of one process that writes the
    whole data set with the same settings. Memory does not grow with the size of the values.
    BetonError or SourceError if a part is damaged, has other fields or classes, or an index of another file; if shards
    are missing, repeated, not in order, or of different data; if `path` is one of the parts, or cannot be written.
    """
    path, files = Path(path), named(parts)
    _check_files(path, files)
    entries = [_index(file) for file in files]
    _check_names(files, entries)
    _check_shards(files, entries)
    names = joined(files, entries)
    merge_files(path, files, progress)
    if names is not None:
        write_lists(index_of(path), path, names)
    return path


def _check_files(path: Path, files: Sequence[Path]) -> None:
    """BetonError for a file that is missing or named twice, and if writing `path` would replace a part or its index."""
    seen: dict[tuple[int, int], Path] = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError as error:
            raise BetonError(f"{file} cannot be opened: {error.strerror or error}") from error
        if not S_ISREG(stat.st_mode):  # a pipe would be waited for
            raise BetonError(f"{file} is no file; name .beton files")
        which = stat.st_dev, stat.st_ino
        if which in seen:
            also = "" if file == seen[which] else f", also as {seen[which]}"
            raise BetonError(f"{file} is named twice{also}; name each part once")
        seen[which] = file
    if path.exists() and (stat := path.stat()) and (stat.st_dev, stat.st_ino) in seen:
        raise BetonError(f"{path} is one of the files to merge; give the result another name")
    index = os.path.realpath(index_of(path))
    if (part := next((file for file in files if os.path.realpath(index_of(file)) == index), None)) is not None:
        raise BetonError(f"{path} would replace {index_of(part)}, the names of {part}; give the result another name")


def _index(file: Path) -> Index:
    """The index of a part; SourceError for one that is of another file: its names would be lost."""
    entry = read_index([file])
    if entry is None and (index := index_of(file)).exists():
        raise SourceError(f"{index} is not the index of {file} as it is now; write that part again or remove the index")
    return entry


def _check_names(files: Sequence[Path], entries: Sequence[Index]) -> None:
    """SourceError if some parts have names, and others do not: the result could have none."""
    for key in (None, *LISTS):
        has = [entry is not None and (key is None or entry[key] is not None) for entry in entries]
        if any(has) and not all(has):
            one, other = files[has.index(True)], files[has.index(False)]
            what = "" if key is None else f" with {key}"
            raise SourceError(
                f"{one} has an index{what}, {index_of(one).name}, but {other} has none; move each file together with "
                "its index, or remove all of them"
            )


def _check_shards(files: Sequence[Path], entries: Sequence[Index]) -> None:
    """BetonError unless the shards among the parts are whole sets, in order, each of one data set and one setting."""
    found: list[Found] = []
    firsts: dict[str, tuple[Path, dict[str, Any]]] = {}  # set -> its first shard, and the index of that
    for file, entry in zip(files, entries, strict=True):
        noted, called = _noted(file, entry), by_name(file)
        if entry is not None and noted is not None:
            first, notes = firsts.setdefault(called.of if called else noted.of, (file, entry))
            _check_same(file, entry, first, notes)
        if shard := noted or called:
            found.append(shard)
    if words := fault(found):
        raise BetonError(f"{words}; merging needs each of them once")
    for before, after in pairwise(found):
        if before.of == after.of and before.shard.number > after.shard.number:
            raise BetonError(
                f"{after.path} is shard {after.shard.number}, but comes after shard {before.shard.number}; name them "
                "in order, as a pattern does"
            )


def _noted(file: Path, entry: Index) -> Found | None:
    """What the index of a file says of which shard it is; None where it says nothing."""
    if entry is None or not isinstance(of := entry.get("of"), str):
        return None
    number, count = entry.get("shard"), entry.get("shards")
    return Found(file, of, Shard(number, count)) if type(number) is type(count) is int else None


def _check_same(file: Path, entry: dict[str, Any], first: Path, notes: dict[str, Any]) -> None:
    """BetonError if a shard was not written from the data set, or by the settings, of the first one of its set."""
    if entry["of"] != notes["of"]:
        raise BetonError(
            f"{file} was written from another data set than {first}, or from other rows, or images were added or "
            "removed between the two; write all shards again"
        )
    if entry.get("images") != notes.get("images"):
        raise BetonError(
            f"{file} was written by other settings than {first}: {entry.get('images')} and {notes.get('images')}; "
            "write one of them again"
        )
