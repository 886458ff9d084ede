"""What a word on the command line stands for: a folder, an archive, arrays, or a data set by name."""

from __future__ import annotations

from pathlib import Path

from data_loading.errors import SourceError, near_miss
from data_loading.sources.arrays import Arrays
from data_loading.sources.base import Source
from data_loading.sources.folder import Folder
from data_loading.sources.torchvision_sets import SETS, open_set
from data_loading.sources.zipped import Zip

NAMES = ("digits", *SETS)
FILES = {".zip": Zip, ".npz": Arrays}  # each takes (path, split)


def open(source: str | Path, split: str | None = None, root: str | Path | None = None) -> Source:  # noqa: A001
    """The source named: a data set of NAMES, a .zip of a folder, a .npz of arrays, or a folder of images.

    split: of data sets, zips and arrays that have several. root: the folder of the files of torchvision's sets.
    """
    word, path = str(source), Path(source)
    if word in NAMES and Path(word).is_dir():
        owner = "scikit-learn" if word == "digits" else "torchvision"
        raise SourceError(f"{word} is a data set of {owner} and a folder here; give the folder's absolute path")
    if root is not None and word not in SETS:
        raise SourceError(f"root {root} is for {', '.join(SETS)}, not for {source}")
    if word in SETS:
        return open_set(word, split, root)
    if word == "digits":
        from data_loading.sources.digits import Digits  # imports scikit-learn, which takes a second

        return Digits(split)
    if path.suffix.lower() in FILES and not path.is_dir():
        return FILES[path.suffix.lower()](path, split)
    if path.suffix == ".beton":
        raise SourceError(f"{source} is a .beton file already" if path.exists() else f"{source}: there is no such file")
    if path.suffix == ".tar":
        raise SourceError(f"{source}: shards of webdataset are written by DatasetWriter.from_webdataset")
    hint = near_miss(word.lower(), NAMES)
    if hint and not path.exists():
        raise SourceError(f"{source}: there is no such folder or data set.{hint}")
    if split is not None:
        raise SourceError(
            f"split {split!r} is for digits, {', '.join(SETS)}, .zip and .npz; for a folder give the folder of that "
            f"split, not {source}"
        )
    return Folder(path)
