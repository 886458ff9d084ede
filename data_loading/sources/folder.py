"""A folder of images: one sub-folder per class, or all images in the folder itself."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from pathlib import Path

import numpy as np

from data_loading.decode.file import read_image
from data_loading.errors import DecodeError, SourceError
from data_loading.sources.base import Source

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}
SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "test", "testing"}


class Tree(Source):
    """What a folder and an archive of one have in common: class folders of images, or images side by side."""

    write_mode = "keep"

    def _arrange(self, here: list[tuple], found: dict[str, list[tuple]]) -> None:
        """Set paths, classes and labels from (path, ...) of the images here and below each sub-folder."""
        found = {name: files for name, files in found.items() if files}
        self._check(here, found)
        self.classes = list(found) if found else None
        stats = [(f"{name}/{path}", *stat) for name, files in found.items() for path, *stat in files] or here
        self.paths = [path for path, *_ in stats]
        self._stats = hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()
        if found:
            self.labels = np.repeat(np.arange(len(found)), [len(files) for files in found.values()]).astype(np.int64)

    def _check(self, here: list[tuple], found: dict[str, list[tuple]]) -> None:
        if not here and not found:
            raise SourceError(f"{self.root} holds no images ({', '.join(sorted(SUFFIXES))}), nor do its sub-folders")
        if here and found:
            raise SourceError(
                f"{self.root} holds both images ({here[0][0]}, ...) and sub-folders with images "
                f"({next(iter(found))}, ...); keep only one kind: sub-folders are classes"
            )
        nested = [name for name, files in found.items() if all("/" in path for path, *_ in files)]
        if found and len(nested) == len(found) and {name.lower() for name in found} <= SPLIT_NAMES:
            raise SourceError(f"{self.root} holds the splits {', '.join(found)}; {self._choice(next(iter(found)))}")

    @abstractmethod
    def _choice(self, split: str) -> str:
        """How one of the splits is chosen."""

    def name(self, i: int) -> str:
        return f"{self.root}/{self.paths[i]}"

    def fingerprint(self) -> str:
        return self._stats


class Folder(Tree):
    """Images of `root`: its sub-folders are the classes, in the order of their names; without any, there are no labels.

    Hidden files, other kinds of files, and sub-folders without images are left out. Within a class images may lie
    deeper. JPEG files keep their bytes; all else, and JPEGs that EXIF turns or that are CMYK, become pixels.
    The fingerprint is over names, sizes and times of change.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not self.root.exists():
            raise SourceError(f"{root}: there is no such folder")
        if not self.root.is_dir():
            raise SourceError(f"{root} is neither a folder of images, nor a .zip, .npz or .beton file")
        try:
            here = _images(self.root, deep=False)
            names = sorted(e.name for e in os.scandir(self.root) if e.is_dir() and not e.name.startswith("."))
            found = {name: _images(self.root / name, deep=True) for name in names}
        except OSError as error:
            raise SourceError(f"{error.filename or root} cannot be read: {error.strerror}") from error
        self._arrange(here, found)

    def _choice(self, split: str) -> str:
        return f"give one of them: {self.root / split}"

    def image(self, i: int) -> np.ndarray | bytes:
        try:
            data = (self.root / self.paths[i]).read_bytes()
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror or error}") from error
        return read_image(data)


def _images(folder: Path, deep: bool) -> list[tuple[str, int, int]]:
    """(path relative to folder with /, size, time of change in ns) of the images, sorted by path."""
    found, pending = [], [""]
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    pending += [f"{below}{entry.name}/"] if deep else []
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                    try:
                        stat = entry.stat()
                    except OSError:  # a link that leads nowhere: reading it will say so, and may be skipped
                        found.append((below + entry.name, 0, 0))
                        continue
                    found.append((below + entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(found)
