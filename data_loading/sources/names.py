"""`open`: the source for a name or path: a folder, .zip, .npz, or a data set known by name."""

from __future__ import annotations

import glob
from pathlib import Path

from data_loading.beton.layout import is_beton
from data_loading.beton.mapping import is_pattern
from data_loading.errors import SourceError, near_miss
from data_loading.sources.arrays import Arrays
from data_loading.sources.base import Source
from data_loading.sources.folder import Folder
from data_loading.sources.torchvision_sets import SETS, open_set
from data_loading.sources.zipped import Zip

NAMES = ("digits", *SETS)
FILES = {".zip": Zip, ".npz": Arrays}  # suffix -> class with the arguments (path, split)


def open(source: str | Path, split: str | None = None, root: str | Path | None = None) -> Source:  # noqa: A001
    """Open a data set of NAMES, a .zip of an image folder, a .npz file, or a folder of images.

    split: for sources that have several ("train", "test", ...); not for folders.
    root: folder of the files of torchvision's data sets; required for those, an error for all others.
    SourceError if there is no such source, split or root.
    """
    name, path = str(source), Path(source)
    if not name.strip():
        raise SourceError("the name of the data is empty; name a folder, a file or a data set")
    if name in NAMES and Path(name).is_dir():
        owner = "scikit-learn" if name == "digits" else "torchvision"
        raise SourceError(
            f"{name} is a data set of {owner}, but also a folder here; for the folder, give its absolute path"
        )
    if root is not None and name not in SETS:
        raise SourceError(f"root={root} is only for {', '.join(SETS)}, not for {source}")
    if name in SETS:
        return open_set(name, split, root)
    if name == "digits":
        from data_loading.sources.digits import Digits  # imports scikit-learn, which takes a second

        return Digits(split)
    if path.suffix.lower() in FILES and not path.is_dir():
        return FILES[path.suffix.lower()](path, split)
    if is_pattern(path) and any(is_beton(Path(file)) for file in glob.glob(name, recursive=True)):
        raise SourceError(f"{source} names .beton files already; massrl data merge makes one file of them")
    if path.suffix == ".beton" or is_beton(path):
        raise SourceError(f"{source} is a .beton file already" if path.exists() else f"{source}: there is no such file")
    if path.suffix == ".tar":
        raise SourceError(f"{source}: write webdataset shards with DatasetWriter.from_webdataset")
    hint = near_miss(name.lower(), NAMES)
    if hint and not path.exists():
        raise SourceError(f"{source}: there is no such folder or data set.{hint}")
    if split is not None:
        raise SourceError(
            f"split {split!r} is only for digits, {', '.join(SETS)}, .zip and .npz; for a folder give the sub-folder "
            f"of that split, not {source}"
        )
    return Folder(path)
