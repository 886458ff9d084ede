"""`massrl.check_data`: duplicates of test images among the training images, or within one set of images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from data_loading import sources
from data_loading.beton.mapping import called
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, SourceError
from data_loading.sources.cached import CACHE
from data_loading.sources.index import read_index
from massrl.leaks import correlation
from massrl.leaks.candidates import nearest
from massrl.leaks.marked import read_marked
from massrl.leaks.thumbnails import Thumbnails, coarse, read

Data = str | os.PathLike | Sequence[str | os.PathLike]
VERSION = 1  # of the two stages and their thresholds; part of the record
CANDIDATES = 20
SAME, CERTAIN, LOOK = VERDICTS = ("same pixels", "almost certain", "look at these")
MEANING = {
    SAME: "the decoded pixels are equal",
    CERTAIN: f"score of at least {correlation.CERTAIN:g}",
    LOOK: f"score of at least {correlation.LOOK:g}: a person should look",
}
PER_IMAGE = 3  # pairs that are kept of an image, the best ones


@dataclass(frozen=True)
class Pair:
    """An image and the training image (or other image of its set) that it may be a duplicate of.

    row, name: of the image in TEST, or in the set.  train_row, train_name: of the other.  score: of
    `correlation.Matches`, at most 1.
    """

    row: int
    name: str
    train_row: int
    train_name: str
    verdict: str
    score: float


@dataclass(frozen=True, repr=False, eq=False)
class DataCheck:
    """What `check_data` found.

    pairs: at most PER_IMAGE of each image, the surest first.  marked: pairs above the threshold that a person has
    marked as no duplicates.  warnings: sentences that must not be overlooked, for example that the sets look swapped.
    files: .beton files of "train" and, if there is one, "against".  counts: their images.  hashes: their SHA-256.
    """

    pairs: list[Pair]
    marked: int
    warnings: list[str]
    given: dict[str, str | list[str]]
    files: dict[str, Path | list[Path]]
    counts: dict[str, int]
    hashes: dict[str, str]
    candidates: int

    def rows(self, *verdicts: str) -> np.ndarray:
        """Sorted rows, int64, of the images that have a pair with one of these verdicts; all verdicts if none is given.

        Those of a single set are the images that come later in it: without them, no pair is left.
        """
        return np.array(sorted({p.row for p in self.pairs if not verdicts or p.verdict in verdicts}), np.int64)

    def number(self) -> dict[str, int]:
        """Verdict -> number of images whose surest pair has it."""
        best: dict[int, str] = {}
        for pair in self.pairs:
            best.setdefault(pair.row, pair.verdict)
        counts = Counter(best.values())
        return {verdict: counts[verdict] for verdict in VERDICTS}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `--json` writes them and `massrl linear --leaks` reads them."""
        return {
            "check": {
                "version": VERSION,
                "candidates": self.candidates,
                "certain": correlation.CERTAIN,
                "look": correlation.LOOK,
            },
            **{part: path for part, path in self.given.items()},
            **{f"{part}_sha256": value for part, value in self.hashes.items()},
            **{f"{part}_images": value for part, value in self.counts.items()},
            "images": self.number(),
            "marked_as_no_duplicates": self.marked,
            "warnings": self.warnings,
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for each verdict."""
        images = self.counts["against" if "against" in self.counts else "train"]
        rows = [[v, str(n), f"{100 * n / images:.2f}", MEANING[v]] for v, n in self.number().items()]
        return [["", "images", "%", ""], *rows]

    def caption(self) -> str:
        """What was compared, in a line."""
        train = f"{_said(self.given['train'])} ({self.counts['train']} images)"
        if "against" not in self.given:
            return f"duplicates within {train}"
        return f"images of {_said(self.given['against'])} ({self.counts['against']} images) that are in {train}"

    def __repr__(self) -> str:
        head, *rows = self.cells()
        lines = [f"{'':<16}{head[1]:>8}{head[2]:>8}"]
        lines += [f"{verdict:<16}{number:>8}{share:>8}  {meaning}" for verdict, number, share, meaning in rows]
        if self.marked:
            lines.append(f"{'no duplicates':<16}{self.marked:>8}          pairs that a person has marked")
        return "\n".join([*(f"WARNING: {one}" for one in self.warnings), self.caption(), *lines])

    def _repr_html_(self) -> str:
        rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self.cells()]
        warnings = "".join(f"<p><b>{escape(one)}</b></p>" for one in self.warnings)
        return f"{warnings}<p>{escape(self.caption())}</p><table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _said(path: str | list[str]) -> str:
    return path if isinstance(path, str) else called([Path(one) for one in path])


def check_data(
    train: Data,
    against: Data | None = None,
    *,
    pairs: str | os.PathLike | None = None,
    candidates: int = CANDIDATES,
    num_workers: int = 0,
    cache_dir: str | os.PathLike = CACHE,
    progress: bool = True,
) -> DataCheck:
    """Find images of `against` that are also in `train`, or those that are twice in `train`, as `massrl data check`.

    No network and no labels are used. Stage 1 finds, for every image, the `candidates` training images whose grey 8 x 8
    reductions correlate best with its own: an exact search in blocks. Stage 2 compares each of them with it over shifts
    and scales, see `massrl.leaks.correlation`. Images with equal pixels are found for certain.

    Memory: about 1.3 kB per image, 240 bytes per image that is searched for, and 50 MB per thread.

    Args:
        train: a folder of images or .beton files; images may have any sizes and need no labels.
        against: the test images, likewise; without it duplicates within `train` are found.
        pairs: a CSV file of pairs that a person has marked as no duplicates: they are not reported.
        candidates: training images that are compared with each image, 1 to 1000.
        num_workers: threads; 0 means one per core.
        cache_dir: where folders are kept as .beton files.
        progress: show progress bars if stderr is a terminal.

    Raises:
        massrl.errors.UserError: equal files, one that cannot be read, or an argument that does not fit, in one line.
    """
    _check_numbers(candidates, num_workers)
    given = {"train": train} if against is None else {"train": train, "against": against}
    files = {part: _file(path, part, cache_dir, progress) for part, path in given.items()}
    hashes = {part: _sha256(file) for part, file in files.items()}
    said = {part: _plain(path) for part, path in given.items()}
    refuse_same(said, hashes)
    images = {part: read(file, num_workers, progress) for part, file in files.items()}
    names = {part: _names(file, len(images[part])) for part, file in files.items()}
    searched = "train" if against is None else "against"
    known = set() if pairs is None else _marked(pairs, names[searched], names["train"], against is None)
    found = _pairs(images[searched], images["train"], candidates, against is None, num_workers, progress)
    kept = [pair for pair in found if pair[:2] not in known]
    listed = [Pair(i, names[searched][i], j, names["train"][j], verdict, s) for i, j, verdict, s in _best(kept)]
    return DataCheck(
        pairs=listed,
        marked=len(found) - len(kept),
        warnings=[] if against is None else _warnings(said, {part: len(i) for part, i in images.items()}, kept),
        given=said,
        files=files,
        counts={part: len(thumbnails) for part, thumbnails in images.items()},
        hashes=hashes,
        candidates=candidates,
    )


def _check_numbers(candidates: int, num_workers: int) -> None:
    if candidates != int(candidates) or not 1 <= candidates <= 1000:
        raise ConfigError(f"candidates is {candidates}; it must be an integer from 1 to 1000")
    if num_workers != int(num_workers) or num_workers < 0:
        raise ConfigError(f"num_workers is {num_workers}; it must be 0 (one per core) or more")


def _file(path: Data, part: str, cache_dir: str | os.PathLike, progress: bool) -> Path | list[Path]:
    if not isinstance(path, str | os.PathLike | Sequence):
        raise ConfigError(f"{part} is {path!r}; name a folder of images or .beton files")
    if not isinstance(path, str | os.PathLike) and not path:
        raise SourceError(f"{part} is an empty list; name a folder of images or .beton files")
    plain = [Path(one) for one in path] if not isinstance(path, str | os.PathLike) else Path(path)
    return sources.as_beton(plain, cache=Path(cache_dir), progress=progress)


def _plain(path: Data) -> str | list[str]:
    return str(path) if isinstance(path, str | os.PathLike) else [str(one) for one in path]


def _sha256(file: Path | list[Path]) -> str:
    with Reader(file) as reader:
        return reader.sha256()


def refuse_same(given: dict[str, Any], hashes: dict[str, str]) -> None:
    """ConfigError if the two sets of images are the same file, or files with the same bytes."""
    if len(given) == 2 and len(set(hashes.values())) == 1:
        train, test = (_said(_plain(path)) for path in given.values())
        raise ConfigError(
            f"{train} and {test} have the same content (SHA-256 {hashes['train'][:12]}...): test images must be other "
            "images than the training images"
        )


def _names(file: Path | list[Path], count: int) -> list[str]:
    """File names relative to the folder; rows as numbers where images came in a .beton file."""
    paths = (read_index(file) or {}).get("paths")
    if paths is not None and len(paths) == count:
        return paths
    return [str(row) for row in range(count)]


def _marked(pairs: str | os.PathLike, names: list[str], train_names: list[str], itself: bool) -> set[tuple[int, int]]:
    """Marked pairs as `_pairs` has them: within one set the later row is first."""
    known = read_marked(pairs, names, train_names)
    return {(max(pair), min(pair)) for pair in known} if itself else known


Found = tuple[int, int, str, float]  # row, training row, verdict, score


def _pairs(
    images: Thumbnails, train: Thumbnails, candidates: int, itself: bool, num_workers: int, progress: bool
) -> list[Found]:
    """All pairs that get a verdict, each once, the surest first."""
    rows, _ = nearest(coarse(images.grey), coarse(train.grey), candidates, itself, num_workers, progress)
    scores = correlation.scores(images.grey, train.grey, rows, num_workers, progress)
    found: dict[tuple[int, int], Found] = {}
    for i, j in zip(*np.nonzero(scores >= correlation.LOOK), strict=True):
        row, other, score = int(i), int(rows[i, j]), float(scores[i, j])
        pair = (max(row, other), min(row, other)) if itself else (row, other)
        if pair not in found or found[pair][3] < score:
            found[pair] = (*pair, CERTAIN if score >= correlation.CERTAIN else LOOK, score)
    for pair in _same(images.digest, train.digest, itself):
        found[pair] = (*pair, SAME, 1.0)
    return sorted(found.values(), key=lambda f: (VERDICTS.index(f[2]), -f[3], f[0], f[1]))


def _same(digest: np.ndarray, train: np.ndarray, itself: bool) -> list[tuple[int, int]]:
    """(row, first training row) with equal digests; within one set only rows after the first."""
    first: dict[bytes, int] = {}
    for row, value in enumerate(train):
        first.setdefault(value.tobytes(), row)
    pairs = ((row, first.get(value.tobytes())) for row, value in enumerate(digest))
    return [(row, other) for row, other in pairs if other is not None and not (itself and other == row)]


def _best(found: list[Found]) -> list[Found]:
    """At most PER_IMAGE of each row, in their order."""
    seen: Counter[int] = Counter()
    kept = []
    for pair in found:
        seen[pair[0]] += 1
        if seen[pair[0]] <= PER_IMAGE:
            kept.append(pair)
    return kept


def _warnings(given: dict[str, Any], counts: dict[str, int], found: list[Found]) -> list[str]:
    warnings = swapped_names(given["train"], given["against"])
    sure = [pair for pair in found if pair[2] in (SAME, CERTAIN)]
    tests, trains = len({pair[0] for pair in sure}), len({pair[1] for pair in sure})
    if counts["against"] > counts["train"] and 2 * trains > counts["train"]:
        warnings.append(
            f"{_said(given['against'])} is larger than {_said(given['train'])} and contains {trains} of its "
            f"{counts['train']} images: are the two swapped?"
        )
    elif 2 * tests > counts["against"]:
        warnings.append(
            f"{tests} of the {counts['against']} images of {_said(given['against'])} are in {_said(given['train'])}: "
            "an accuracy on them is one of training images"
        )
    return warnings


def swapped_names(train: Data, test: Data) -> list[str]:
    """A sentence if the training images are named as test images are and the test images as training images."""

    def words(path: Data) -> set[str]:
        path = _plain(path)
        last = Path(path if isinstance(path, str) else path[0]).name.lower()
        return set(re.split(r"[^a-z]+", last))

    named_train, named_test = {"train", "training"}, {"test", "testing", "val", "valid", "validation"}
    ours, theirs = words(train), words(test)
    if ours & named_test and not ours & named_train and theirs & named_train and not theirs & named_test:
        return [f"the training images are {_said(_plain(train))} and the test images {_said(_plain(test))}: swapped?"]
    return []
