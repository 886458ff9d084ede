"""What a word on the command line stands for: a folder, or a data set by name."""

from __future__ import annotations

from pathlib import Path

from data_loading.errors import SourceError
from data_loading.sources.base import Source
from data_loading.sources.folder import Folder


def open(source: str | Path, split: str | None = None) -> Source:  # noqa: A001, used as sources.open
    """The source named: "digits" (split "train", "test", or None for all), or the path of a folder of images."""
    if str(source) == "digits":
        if Path("digits").is_dir():
            raise SourceError("digits is a data set of scikit-learn and a folder here; give the folder's absolute path")
        from data_loading.sources.digits import Digits  # imports scikit-learn, which takes a second

        return Digits(split)
    if split is not None:
        raise SourceError(f"split {split!r} is for digits; for a folder give the folder of that split, not {source}")
    path = Path(source)
    if path.suffix == ".beton":
        raise SourceError(f"{source} is a .beton file already" if path.exists() else f"{source}: there is no such file")
    return Folder(path)
