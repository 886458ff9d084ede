"""Which training images have labels: random subsets, or lists of image names as SimCLR publishes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from data_loading.config.atomic import write_whole
from data_loading.errors import ConfigError, SourceError
from massrl.evaluation.classify.inputs import Inputs
from massrl.evaluation.subsets import draw, draw_each, draws_of, fraction

Files = str | os.PathLike | Sequence[str | os.PathLike]
SHOWN = 3  # missing names that an error shows


def random_subsets(
    inputs: Inputs, labels: str | float, per_class: int | None, draws: int, seed: int
) -> tuple[list[np.ndarray], str]:
    """(rows (n,) of each subset, in words which): a share of each class, or `per_class` images of each.

    Subsets depend on the labels and the seed alone, so that all encoders are trained on the same ones.
    """
    y = inputs.labels["train"]
    if per_class is None:
        count = draws_of(labels, draws)
        share = fraction(labels)
        said = f"{100 * share:g} %" if isinstance(share, float) else {"one": "one a class"}.get(share, share)
        return [draw(y, labels, seed, number) for number in range(count)], said
    if draws < 1:
        raise ConfigError(f"draws is {draws}; it must be at least 1")
    return [draw_each(y, per_class, seed, number) for number in range(draws)], f"{per_class} a class"


def read_subsets(
    inputs: Inputs, files: str | os.PathLike | Sequence[str | os.PathLike]
) -> tuple[list[np.ndarray], str]:
    """(rows (n,) of each file's images, in words which): one file a subset, one image name a line.

    A line with a slash is the path below the training folder, another one a file name, of which the suffix does not
    count.  Files of numbers name rows.  SourceError for names that no training image has, and where a class has none.
    """
    listed = [files] if isinstance(files, str | os.PathLike) else list(files)
    if not listed:
        raise ConfigError("subset_file names no file")
    found = [_rows(inputs, Path(file)) for file in listed]
    return found, ", ".join(Path(file).name for file in listed)


def _rows(inputs: Inputs, file: Path) -> np.ndarray:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: {error.strerror or error}; a subset file has one image name a line") from None
    if b"\0" in raw:
        raise SourceError(f"{file}: is not text; a subset file has one image name a line")
    lines = [line.strip() for line in raw.decode("utf-8", "surrogateescape").splitlines()]  # names may be no UTF-8
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise SourceError(f"{file}: names no image")
    if all(line.isdecimal() for line in lines):
        rows = _numbers(inputs, file, lines)
    else:
        rows = _names(inputs, file, lines)
    if len(np.unique(rows)) < len(rows):
        again = next(lines[i] for i in range(len(rows)) if rows[i] in rows[:i])
        raise SourceError(f"{file}: names {again} more than once")
    rows = np.sort(rows)
    _check_classes(inputs, file, rows)
    return rows


def _numbers(inputs: Inputs, file: Path, lines: list[str]) -> np.ndarray:
    n = len(inputs.labels["train"])
    beyond = [line for line in lines if int(line) >= n]
    if beyond:
        raise SourceError(f"{file}: names row {beyond[0]}, and {inputs.given['train']} has {n} images, from row 0")
    return np.array([int(line) for line in lines], np.int64)


def _names(inputs: Inputs, file: Path, lines: list[str]) -> np.ndarray:
    """Rows of image names; the whole path decides where the line has one, else the file's name without its suffix."""
    if inputs.paths is None:
        raise SourceError(
            f"{inputs.given['train']}: does not say what its images are called, which {file} needs; give the folder "
            "that it was written from, or write it again with massrl data write"
        )
    by_path = {_without_suffix(path): row for row, path in enumerate(inputs.paths)}
    stems = [PurePosixPath(path).stem for path in inputs.paths]
    by_stem = {stem: row for row, stem in enumerate(stems)}
    rows, missing = [], []
    for line in lines:
        row = by_path.get(_without_suffix(line)) if "/" in line else by_stem.get(PurePosixPath(line).stem)
        if row is None:
            missing.append(line)
        else:
            rows.append(row)
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise SourceError(
            f"{file}: {len(missing)} of {len(lines)} images are not in {inputs.given['train']}: "
            f"{', '.join(missing[:SHOWN])}{more}"
        )
    counts = Counter(stems)
    double = next((line for line in lines if "/" not in line and counts[PurePosixPath(line).stem] > 1), None)
    if double is not None:
        raise SourceError(f"{file}: {double} fits several images of {inputs.given['train']}; write CLASS/{double}")
    counts = Counter(map(_without_suffix, inputs.paths))
    double = next((line for line in lines if "/" in line and counts[_without_suffix(line)] > 1), None)
    if double is not None:  # as of files of several folders that are read as one data set
        raise SourceError(f"{file}: {double} fits several images of {inputs.given['train']}; name them by their rows")
    return np.array(rows, np.int64)


def _without_suffix(path: str) -> str:
    return str(PurePosixPath(path).with_suffix(""))


def _check_classes(inputs: Inputs, file: Path, rows: np.ndarray) -> None:
    missing = np.setdiff1d(inputs.present, inputs.labels["train"][rows])
    if len(missing):
        some = ", ".join(inputs.name_of(int(label)) for label in missing[:SHOWN])
        raise SourceError(f"{file}: has no image of {len(missing)} of {len(inputs.present)} classes: {some}")


def write_subsets(inputs: Inputs, subsets: Sequence[np.ndarray], folder: str | os.PathLike) -> list[Path]:
    """Write each subset to FOLDER/subset-N.txt, as `read_subsets` takes it: names where they are known, else rows."""
    written = []
    for number, rows in enumerate(subsets):
        lines = [inputs.paths[row] for row in rows] if inputs.paths else [str(row) for row in rows]
        written.append(
            write_whole(
                Path(folder) / f"subset-{number}.txt", ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
            )
        )
    return written
