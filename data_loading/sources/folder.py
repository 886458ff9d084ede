"""A folder of images: one sub-folder per class, or all images in the folder itself."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from pathlib import Path

import numpy as np

from data_loading.config.once import warn_once
from data_loading.decode.file import read_image
from data_loading.errors import DecodeError, SourceError, printable
from data_loading.sources.base import Source

COMMON = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".jp2", ".j2k", ".avif"}
SUFFIXES = COMMON | {".ppm", ".pgm", ".pbm", ".pnm"}
SHOWN = 5  # folders that a message names
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

    def _say_left_out(self, empty: dict[str, set[str]]) -> None:
        """Name the class folders without an image that is read, with the suffixes of what is in them."""
        words = [f"{name} ({', '.join(sorted(o)) or 'empty'})" for name, o in list(empty.items())[:SHOWN]]
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        if words:
            text = f"{self.root}: folders without images that can be read are no classes: {', '.join(words)}{more}"
            warn_once(printable(text))

    @abstractmethod
    def _how_to_choose(self, split: str) -> str:
        """The part of an error message that says how to choose one of the splits."""

    def name(self, i: int) -> str:
        return f"{self.root}/{self.paths[i]}"

    def fingerprint(self) -> str:
        return self._stats


class Folder(Tree):
    """A folder of images. Sub-folders are the classes, sorted by name; without sub-folders there are no labels.

    Images may be nested deeper within a class; each real folder is read once, however many links lead to it. Hidden
    files and files of other types are ignored; sub-folders without images, too, which is said once. Upright RGB and
    grey JPEG files are returned as bytes, everything else as pixels.
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
            above = set(map(_identity, (here := self.root.resolve(), *here.parents)))
            top, _ = _images(self.root, False, above)
            names = sorted(e.name for e in os.scandir(self.root) if _is_folder(e) and not e.name.startswith("."))
            own = {name: which for name in names if (which := _identity(self.root / name)) not in above}
            found = {name: _images(self.root / name, True, {*above, which}) for name, which in own.items()}
        except OSError as error:
            raise SourceError(f"{error.filename or root} cannot be read: {error.strerror}") from error
        self._arrange(top, {name: images for name, (images, _) in found.items()})
        if self.classes:
            self._say_left_out({name: others for name, (images, others) in found.items() if not images})

    def _how_to_choose(self, split: str) -> str:
        return f"give one of them: {self.root / split}"

    def image(self, i: int) -> np.ndarray | bytes:
        try:
            data = (self.root / self.paths[i]).read_bytes()
        except OSError as error:
            raise DecodeError(f"cannot be read: {error.strerror or error}") from error
        return read_image(data)


def _images(folder: Path, deep: bool, above: set[tuple[int, int]]) -> tuple[list[tuple[str, int, int]], set[str]]:
    """(path relative to `folder`, size, modification time in ns) of each image, sorted; suffixes of other files.

    deep: recurse, into each real folder once, and not into those of `above`, to which a link may lead back.
    """
    images, others, pending, seen = [], set(), [""], set(above)
    while pending:
        below = pending.pop()
        with os.scandir(folder / below) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):  # which of several links is read is certain
                if entry.name.startswith("."):
                    continue
                suffix = os.path.splitext(entry.name)[1].lower()
                if _is_folder(entry):
                    if deep and (which := _identity(entry.path)) not in seen:
                        seen.add(which)
                        pending.append(f"{below}{entry.name}/")
                elif suffix in SUFFIXES:
                    try:
                        stat = entry.stat()
                    except OSError:  # a dangling link: reading it fails later, where skip_bad applies
                        images.append((below + entry.name, 0, 0))
                        continue
                    images.append((below + entry.name, stat.st_size, stat.st_mtime_ns))
                else:
                    others.add(suffix)
    return sorted(images), others


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: str | Path) -> tuple[int, int]:
    """What two paths of one real folder have in common."""
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino
