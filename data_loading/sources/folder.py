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
    """Base class of Folder and Zip: images in one sub-folder per class, or all images in the top folder."""

    write_mode = "keep"
    root: Path

    def _arrange(self, top: list[tuple], folders: dict[str, list[tuple]]) -> None:
        """Set paths, classes and labels.

        top: (path, ...) of the images in the top folder.  folders: sub-folder -> (path, ...) of the images below it.
        The further elements of the tuples go into the fingerprint.
        """
        folders = {name: files for name, files in folders.items() if files}
        self._check(top, folders)
        self.classes = list(folders) if folders else None
        stats = [(f"{name}/{path}", *stat) for name, files in folders.items() for path, *stat in files] or top
        self.paths = [path for path, *_ in stats]
        self._stats = hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()
        if folders:
            self.labels = np.repeat(np.arange(len(folders)), [len(files) for files in folders.values()]).astype(
                np.int64
            )

    def _check(self, top: list[tuple], folders: dict[str, list[tuple]]) -> None:
        if not top and not folders:
            raise SourceError(f"{self.root} has no images ({', '.join(sorted(SUFFIXES))}), nor do its sub-folders")
        if top and folders:
            raise SourceError(
                f"{self.root} has both images ({top[0][0]}, ...) and sub-folders with images "
                f"({next(iter(folders))}, ...); keep only one of these: sub-folders are classes"
            )
        nested = [name for name, files in folders.items() if all("/" in path for path, *_ in files)]
        if folders and len(nested) == len(folders) and {name.lower() for name in folders} <= SPLIT_NAMES:
            raise SourceError(
                f"{self.root} has the splits {', '.join(folders)}; {self._how_to_choose(next(iter(folders)))}"
            )

    @abstractmethod
    def _how_to_choose(self, split: str) -> str:
        """The part of an error message that says how to choose one of the splits."""

    def name(self, i: int) -> str:
        return f"{self.root}/{self.paths[i]}"

    def fingerprint(self) -> str:
        return self._stats


class Folder(Tree):
    """A folder of images. Sub-folders are the classes, sorted by name; without sub-folders there are no labels.

    Images may be nested deeper within a class. Hidden files, files of other types and sub-folders without images are
    ignored. Upright RGB and grey JPEG files are returned as bytes, everything else as pixels.
    The fingerprint covers names, sizes and modification times.
    SourceError if `root` is not a readable folder, has no images, has both images and class folders, or has only
    folders named like splits (train, test, ...).
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        if not self.root.exists():
            raise SourceError(f"{root}: there is no such folder")
        if not self.root.is_dir():
            raise SourceError(f"{root} is not a folder of images or a .zip, .npz or .beton file")
        try:
            top = _images(self.root, deep=False)
            names = sorted(e.name for e in os.scandir(self.root) if e.is_dir() and not e.name.startswith("."))
            folders = {name: _images(self.root / name, deep=True) for name in names}
        except OSError as error:
            raise SourceError(f"{error.filename or root} cannot be read: {error.strerror}") from error
        self._arrange(top, folders)

    def _how_to_choose(self, split: str) -> str:
        return f"give one of them: {self.root / split}"

    def image(self, i: int) -> np.ndarray | bytes:
        try:
            data = (self.root / self.paths[i]).read_bytes()
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror or error}") from error
        return read_image(data)


def _images(folder: Path, deep: bool) -> list[tuple[str, int, int]]:
    """(path relative to `folder`, size, modification time in ns) of each image, sorted by path. deep: recurse."""
    images, pending = [], [""]
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
                    except OSError:  # a dangling link: reading it fails later, where skip_bad applies
                        images.append((below + entry.name, 0, 0))
                        continue
                    images.append((below + entry.name, stat.st_size, stat.st_mtime_ns))
    return sorted(images)
