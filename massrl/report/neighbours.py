"""Neighbours: the images of a folder that an encoder finds nearest to given ones, as a table and as a picture."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.errors import ConfigError, SourceError
from data_loading.sources.cached import CACHE
from data_loading.sources.folder import SUFFIXES
from massrl.evaluation.embedding import Embedding, embed
from massrl.evaluation.labels import Data
from massrl.evaluation.neighbours import nearest
from massrl.evaluation.options import check_options
from massrl.evaluation.table import aligned, html_table
from massrl.methods.base import Branch
from massrl.report import plots, style
from massrl.report.figures import pixels, shown_side


@dataclass(frozen=True, repr=False, eq=False)
class Neighbours:
    """The k images nearest to each of Q given images, by cosine of features, nearest first.

    queries: the given files.  rows: (Q, k) int64, rows of `among`.  similarity: (Q, k) float32, cosines in -1..1.
    """

    queries: list[str]
    rows: np.ndarray
    similarity: np.ndarray
    among: Embedding
    pictures: np.ndarray  # of the queries, uint8 (Q, S, S, 3), as the picture shows them

    @property
    def names(self) -> list[list[str]]:
        """For each query the files of its neighbours, relative to their folder; row numbers where there are none."""
        known = self.among.names
        return [[known[row] if known else str(self.among.index[row]) for row in of] for of in self.rows.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the neighbours of each query, and what the features depend on."""
        found = [
            [{"name": name, "similarity": float(value)} for name, value in zip(*pair, strict=True)]
            for pair in zip(self.names, self.similarity, strict=True)
        ]
        return {"neighbours": dict(zip(self.queries, found, strict=True)), **self.among.to_dict()}

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture, a PNG: a row for each query, its neighbours to the right, nearest first."""
        side = self.pictures.shape[1]
        found = pixels(self.among.file, self.among.index[self.rows.ravel()], side)
        found = found.reshape(*self.rows.shape, side, side, 3)
        title = f"nearest first, {self.among.method}"
        return style.save(Path(path), lambda: plots.neighbours(self.pictures, {title: found}, None), both=False)

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for each neighbour."""
        rows = [["image", "neighbour", "cosine"]]
        for query, names, values in zip(self.queries, self.names, self.similarity, strict=True):
            shown = [query, *[""] * (len(names) - 1)]
            rows += [[s, n, f"{v:.3f}"] for s, n, v in zip(shown, names, values, strict=True)]
        return rows

    def __repr__(self) -> str:
        return aligned(self.cells())

    def _repr_html_(self) -> str:
        return html_table(self.cells())


def neighbours(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    among: Data,
    checkpoint: str | os.PathLike,
    *,
    k: int = 5,
    layer: str | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Neighbours:
    """The k images of a folder nearest to each given image, as `massrl neighbours`.

    Examples:
        >>> massrl.neighbours("cat.jpg", "my_images/", "runs/first", k=8).save("cat.png")

    Args:
        images: one image file or several.
        among: a folder of images or .beton files; an image of `images` that lies in this folder is not its own
            neighbour.
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        k: how many neighbours.
        layer, branch, size, batch_size, num_workers, cache_dir: as of `massrl.embed`.

    Raises:
        massrl.errors.UserError: an image, checkpoint, folder or option that does not fit, in one line.
    """
    check_options(k=k)
    files = [Path(images)] if isinstance(images, str | os.PathLike) else [Path(image) for image in images]
    if not files:
        raise ConfigError("images are none; name at least one image file")
    for file in files:
        if not file.is_file():
            raise SourceError(f"{file}: there is no such image file")
        if file.suffix.lower() not in SUFFIXES:
            raise SourceError(f"{file}: not an image file by its suffix; images are {', '.join(sorted(SUFFIXES))}")
    options: dict[str, Any] = {"layer": layer, "branch": branch, "size": size, "batch_size": batch_size}
    bank = embed(among, checkpoint, **options, num_workers=num_workers, cache_dir=cache_dir)
    itself = [_row_of(file, among, bank) for file in files]
    others = len(bank) - any(row is not None for row in itself)
    if k > others:
        raise ConfigError(f"k is {k}, and {among} has {others} images to compare with; choose a smaller k")
    with tempfile.TemporaryDirectory() as temporary:
        asked = _as_folder(files, Path(temporary, "images"))
        try:
            query = embed(asked, checkpoint, **options, num_workers=1, cache_dir=Path(temporary, "cache"))
        except SourceError as error:  # of a numbered link: say which file of the user's it is
            named = {f"{i:06}{file.suffix}": file for i, file in enumerate(files)}
            broken = next((file for link, file in named.items() if link in str(error)), files[0])
            raise SourceError(f"{broken}: cannot be read as an image") from error
        pictures = pixels(query.file, query.index, shown_side(bank.file))
    parts = list(nearest(bank.x, query.x, min(k + 1, len(bank))))  # one more: an image may be its own neighbour
    cosine, rows = (np.concatenate(part) for part in zip(*parts, strict=True))  # (Q, k + 1)
    others = rows != np.array([-1 if row is None else row for row in itself])[:, None]
    kept = np.argsort(~others, axis=1, kind="stable")[:, :k]
    cosine, rows = np.take_along_axis(cosine, kept, 1), np.take_along_axis(rows, kept, 1)
    return Neighbours([str(f) for f in files], rows, cosine, bank, pictures)


def _row_of(file: Path, among: Data, bank: Embedding) -> int | None:
    """The row of a file that is one of the images of the folder `among`."""
    if bank.names is None or not isinstance(among, str | Path) or not Path(among).is_dir():
        return None
    here = Path(among).resolve()
    if here not in file.resolve().parents:
        return None
    inside = file.resolve().relative_to(here).as_posix()
    return bank.names.index(inside) if inside in bank.names else None


def _as_folder(files: Sequence[Path], folder: Path) -> Path:
    """A folder with links to the files, numbered, so that they are read as every folder of images is."""
    folder.mkdir()
    for i, file in enumerate(files):
        (folder / f"{i:06}{file.suffix}").symlink_to(file.resolve())
    return folder
