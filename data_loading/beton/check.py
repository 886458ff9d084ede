"""Check a whole .beton file: open it and decode every stored value of every sample."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from data_loading.beton.mapping import called, named
from data_loading.beton.reader import Reader
from data_loading.beton.shards import fault_of_set
from data_loading.errors import UserError

SHOWN = 20  # faults whose messages are kept; all are counted
CHUNK = 64  # samples per task of the thread pool


@dataclass
class Report:
    """The result of `check`."""

    path: str
    samples: int = 0
    values: int = 0  # values decoded; int, float and most array fields are not, as all of their bytes are valid
    count: int = 0  # number of faults
    faults: list[str] = field(default_factory=list)  # messages of the first 20 faults, ordered by sample

    @property
    def whole(self) -> bool:
        """True if no fault was found."""
        return not self.count


def check(path: str | Path | Sequence[str | Path], num_workers: int = 0, progress: bool = True) -> Report:
    """Open `path` and decode every value. A damaged file does not raise; its faults are in the Report.

    A set of shards, by their names, that is not complete is a fault, too.

    path: a .beton file, a pattern such as "train-*.beton", or a list of these.
    num_workers: threads; 0 means one per core. Each holds one decoded value at a time.
    progress: show a progress bar if stderr is a terminal.
    """
    report = Report(str(path) if isinstance(path, str | Path) else called(named(path)))
    try:
        reader = Reader(path)
    except UserError as error:
        report.count, report.faults = 1, [str(error)]
        return report
    report.samples = len(reader)
    if words := fault_of_set(path):
        report.count, report.faults = 1, [words]
    names = [name for name, kind in reader.fields.items() if kind.checked]
    starts = range(0, len(reader) if names else 0, CHUNK)
    bar = tqdm(total=len(reader), desc=Path(report.path).name, unit="sample", disable=None if progress else True)
    with reader, ThreadPoolExecutor(num_workers or os.cpu_count() or 1) as pool, bar:
        for first in range(0, len(starts), 1024):  # bounds the results that pool.map keeps
            for faults, values in pool.map(lambda start: _decode(reader, names, start), starts[first : first + 1024]):
                report.count += len(faults)
                report.faults += faults[: SHOWN - len(report.faults)]
                report.values += values
                bar.update(min(CHUNK, len(reader) - bar.n))
    return report


def _decode(reader: Reader, names: list[str], start: int) -> tuple[list[str], int]:
    """Decode samples start ... start + CHUNK - 1. Returns the fault messages and the number of values decoded."""
    rows = range(start, min(start + CHUNK, len(reader)))
    return [fault for row in rows for name in names for fault in _fault(reader, name, row)], len(rows) * len(names)


def _fault(reader: Reader, name: str, row: int) -> Iterator[str]:
    try:
        reader.value(name, row)
    except UserError as error:
        yield str(error)
