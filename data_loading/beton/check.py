"""A .beton file checked whole: it opens, and every stored value of every sample decodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from data_loading.beton.reader import Reader
from data_loading.errors import UserError

SHOWN = 20  # faults that are kept in words
CHUNK = 64  # samples that a thread takes at once


@dataclass
class Report:
    """What was found in a file. values: how many were decoded (numbers and arrays need none: all bytes are right)."""

    path: str
    samples: int = 0
    values: int = 0
    count: int = 0  # of faults
    faults: list[str] = field(default_factory=list)  # a sentence for each of the first 20, in the order of the samples

    @property
    def whole(self) -> bool:
        return not self.count


def check(path: str | Path, num_workers: int = 0, progress: bool = True) -> Report:
    """Decode everything by num_workers threads (0: one per core); a thread holds one value at a time."""
    report = Report(str(path))
    try:
        reader = Reader(path)
    except UserError as error:
        report.count, report.faults = 1, [str(error)]
        return report
    report.samples = len(reader)
    names = [name for name, found in reader.fields.items() if found.checked]
    starts = range(0, len(reader) if names else 0, CHUNK)
    bar = tqdm(total=len(reader), desc=Path(path).name, unit="sample", disable=None if progress else True)
    with reader, ThreadPoolExecutor(num_workers or os.cpu_count() or 1) as pool, bar:
        for first in range(0, len(starts), 1024):  # so that few chunks wait at a time
            for faults, values in pool.map(lambda start: _decode(reader, names, start), starts[first : first + 1024]):
                report.count += len(faults)
                report.faults += faults[: SHOWN - len(report.faults)]
                report.values += values
                bar.update(min(CHUNK, len(reader) - bar.n))
    return report


def _decode(reader: Reader, names: list[str], start: int) -> tuple[list[str], int]:
    """The faults of a chunk, and the number of its values."""
    rows = range(start, min(start + CHUNK, len(reader)))
    return [fault for row in rows for name in names for fault in _fault(reader, name, row)], len(rows) * len(names)


def _fault(reader: Reader, name: str, row: int) -> Iterator[str]:
    try:
        reader.value(name, row)
    except UserError as error:
        yield str(error)
