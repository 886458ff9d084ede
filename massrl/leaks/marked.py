"""The file of pairs that a person has looked at and marked as no duplicates: CSV, appended to by hand."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from data_loading.errors import ConfigError

HEAD = ("image", "train_image")
FORM = (
    "CSV with two columns, image,train_image: names as in the result (rows of a .beton file as numbers); "
    "that line as a head, further columns, empty lines and lines that begin with # are ignored"
)


def read_marked(path: str | os.PathLike, names: Sequence[str], train_names: Sequence[str]) -> set[tuple[int, int]]:
    """The pairs (row of the image, row of the training image) of a file in the form FORM.

    ConfigError that names the line for a name that is in neither list, and if the file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ConfigError(
            f"pairs: {path} cannot be read: {error.strerror or error}; it is a {FORM.partition(';')[0]}"
        ) from error
    rows, train_rows = ({name: row for row, name in enumerate(given)} for given in (names, train_names))
    marked = set()
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    try:
        for cells in reader:
            line = [cell.strip() for cell in cells]
            if not any(line) or line[0].startswith("#") or tuple(line[:2]) == HEAD:
                continue
            where = f"pairs: {path}, line {reader.line_num}"
            if len(line) < 2:
                raise ConfigError(f"{where}: {line[0]!r} is alone; write {','.join(HEAD)}")
            marked.add((_row(line[0], rows, where), _row(line[1], train_rows, where)))
    except csv.Error as error:
        raise ConfigError(f"pairs: {path}, line {reader.line_num}: {error}") from error
    return marked


def _row(name: str, rows: dict[str, int], where: str) -> int:
    if name not in rows:
        shown = next(iter(rows), "")
        raise ConfigError(f"{where}: no image is called {name!r}; names are such as {shown!r}")
    return rows[name]


def as_line(name: str, train_name: str) -> str:
    """The line of a pair, to be appended to the file."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([name, train_name])
    return out.getvalue()
