"""A .zip of a folder of images, read without unpacking it to disk."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.decode.file import read_image
from data_loading.errors import DecodeError, SourceError
from data_loading.sources.base import MOST_BYTES, write_command
from data_loading.sources.folder import SUFFIXES, Tree


class Zip(Tree):
    """A .zip of images, arranged as in Folder. A single top-level folder that contains everything is skipped.

    split: the folder within the zip to use, for example "train".
    The fingerprint covers the names, sizes and checksums in the zip's directory. Each process opens the file itself.
    SourceError as for Folder, and if the zip is damaged or has no folder `split`.
    """

    def __init__(self, root: str | Path, split: str | None = None):
        self.root = Path(root)
        self._opened: tuple[int, zipfile.ZipFile] | None = None  # the process that has opened it
        try:
            listed = self._file().infolist()
        except FileNotFoundError:
            raise SourceError(f"{root}: there is no such file") from None
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{root} is not a readable .zip file: {error}") from error
        self._stored = {_with_slashes(entry.filename): entry for entry in listed}
        entries = sorted((name, e.file_size, e.CRC) for name, e in self._stored.items() if _is_image(name))
        self.prefix = _common_folder(entries)
        if split is not None and self.prefix != f"{split}/":
            entries = [entry for entry in entries if entry[0].startswith(f"{self.prefix}{split}/")]
            if not entries:
                raise SourceError(f"{root} has no folder {split!r} with images")
            self.prefix += f"{split}/"
        top, folders = [], defaultdict(list)
        for path, *facts in entries:
            folder, _, rest = path.removeprefix(self.prefix).partition("/")
            if rest:
                folders[folder].append((rest, *facts))
            else:
                top.append((folder, *facts))
        self._arrange(top, dict(sorted(folders.items())))
        if self.classes:
            self._say_left_out(self._without_images())

    def _without_images(self) -> dict[str, set[str]]:
        """The class folders without an image, with the suffixes of their files."""
        found = defaultdict(set)
        for name in self._stored:
            folder, _, rest = name.removeprefix(self.prefix).partition("/")
            if name.startswith(self.prefix) and rest and not _is_hidden(name) and folder not in (self.classes or []):
                found[folder].add(os.path.splitext(rest)[1].lower())
        return dict(sorted(found.items()))

    def _how_to_choose(self, split: str) -> str:
        return f"choose one: {write_command(self.root, f'--split {split}')}"

    def image(self, i: int) -> np.ndarray | bytes:
        try:
            entry = self._stored[self.prefix + self.paths[i]]
            if entry.file_size > MOST_BYTES:
                raise DecodeError(f"takes {entry.file_size / 2**30:.1f} GiB unpacked; an image file may take 1 GiB")
            data = self._file().read(entry)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise DecodeError(f"cannot be read: {error}") from error
        return read_image(data)

    def name(self, i: int) -> str:
        return f"{self.root}/{self.prefix}{self.paths[i]}"

    def _file(self) -> zipfile.ZipFile:
        if self._opened is None or self._opened[0] != os.getpid():  # forked processes share the file offset
            self._opened = os.getpid(), zipfile.ZipFile(self.root)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __del__(self):
        if opened := getattr(self, "_opened", None):
            opened[1].close()


def _is_image(path: str) -> bool:
    """Whether a path within the zip is an image that is not hidden."""
    return not _is_hidden(path) and os.path.splitext(path)[1].lower() in SUFFIXES


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def _with_slashes(path: str) -> str:
    """A path within the zip; some programs of Windows write backslashes, against the standard."""
    return path if "/" in path else path.replace("\\", "/")


def _common_folder(entries: list[tuple]) -> str:
    """The top-level folder, as "name/", if all images are in sub-folders of one such folder; else ""."""
    tops = {path.partition("/")[0] for path, *_ in entries}
    return f"{tops.pop()}/" if len(tops) == 1 and all(path.count("/") > 1 for path, *_ in entries) else ""
