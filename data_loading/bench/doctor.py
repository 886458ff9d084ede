"""Doctor: measures a file on this machine, says what binds, and what to change.

Four things can bind: the disk, the processor (decoding, augmentation, copying), or the training step that takes the
batches. Each is measured as images a second; the lowest binds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loading.bench import stages
from data_loading.bench.works import SMALL, Work
from data_loading.beton.mapping import named
from data_loading.beton.reader import Reader
from data_loading.decode import RAW
from data_loading.errors import ConfigError
from data_loading.loading.node_memory import free_memory

COLD_BYTES = 128 << 20  # read from the disk, at most
BLOCK = 1 << 20
CLEARLY = 1.1  # a rate counts as lower when it is by a tenth


@dataclass
class Findings:
    """What was measured. Rates are images/s; disk in bytes/s, None where the system cannot be asked to forget pages."""

    stages: stages.Stages
    cores: int
    workers: int
    file_bytes: int
    stored_bytes: float  # of an image, mean
    longest: int  # side of any image, pixels
    raw: bool
    memory_free: int | None  # bytes that the page cache may take
    disk: float | None
    consumer: float | None
    view_size: int

    @property
    def per_worker(self) -> float:
        busy = self.stages.wall - self.stages.wait
        return 1e3 / busy

    @property
    def processor(self) -> float:
        return self.per_worker * min(self.workers, self.cores)

    @property
    def from_disk(self) -> float | None:
        return None if self.disk is None else self.disk / self.stored_bytes

    @property
    def fits(self) -> bool:
        """Whether the page cache can hold the file, so that only the first epoch reads the disk."""
        return self.memory_free is None or self.file_bytes < 0.8 * self.memory_free


def examine(
    file: str | Path, work: Work, rows: Sequence[int], batch_size: int, workers: int | None, step_ms: float | None
) -> Findings:
    """Measure; step_ms: milliseconds of one training step of batch_size images, where it is known."""
    if step_ms is not None and not step_ms > 0:
        raise ConfigError(f"step_ms is {step_ms}; a training step takes more than 0 ms")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = cores if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1")
    disk = cold_rate(named(file)[0])  # before the file is mapped: mapped pages stay
    found = stages.measure(work, file, rows, batch_size)
    with Reader(file) as reader:
        table = reader.image_table()
        return Findings(
            stages=found,
            cores=cores,
            workers=workers,
            file_bytes=sum(part.size for part in reader.parts),
            stored_bytes=float(table.size.mean()),
            longest=int(max(np.median(table.height), np.median(table.width))),
            raw=bool((table.mode == RAW).all()),
            memory_free=free_memory(),
            disk=disk,
            consumer=None if step_ms is None else 1e3 * batch_size / step_ms,
            view_size=work.views[0].size,
        )


def cold_rate(file: Path) -> float | None:
    """Bytes/s of reading the file's start after the system was asked to forget it; None where it cannot be asked."""
    if not hasattr(os, "posix_fadvise"):
        return None
    with open(file, "rb", buffering=0) as stream:
        os.fsync(stream.fileno())  # pages not yet written cannot be forgotten
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer, n = bytearray(BLOCK), 0
        start = time.perf_counter()
        while n < COLD_BYTES and (got := stream.readinto(buffer)):
            n += got
        return n / (time.perf_counter() - start)


def binding(f: Findings) -> str:
    """disk, decode, augmentation, copy or consumer: the lowest of the measured rates."""
    if f.consumer is not None and f.processor > CLEARLY * f.consumer:
        if f.fits or f.from_disk is None or f.from_disk > CLEARLY * f.consumer:
            return "consumer"
    if not f.fits and f.from_disk is not None and f.from_disk * CLEARLY < f.processor:
        return "disk"
    s = f.stages
    cost = {"decode": s.decode, "augmentation": s.draw + s.render, "copy": s.read + s.collate}
    return max(cost, key=cost.get)


def sentences(f: Findings) -> list[str]:
    """What binds, in one sentence, then what to change, most useful first."""
    kind, s = binding(f), f.stages
    busy = s.wall - s.wait
    share = {"decode": s.decode, "augmentation": s.draw + s.render, "copy": s.read + s.collate}
    rate = f"{f.workers} worker{'s' * (f.workers != 1)} make about {f.processor:,.0f} images/s ({s.work})"
    if kind == "consumer":
        need = int(np.ceil(f.consumer / f.per_worker))
        first = f"The training step binds: it takes {f.consumer:,.0f} images/s, {rate}."
        said = [f"{need} worker{'s' * (need != 1)} would do; a faster loader would change nothing."]
    elif kind == "disk":
        first = (
            f"The disk binds: the file ({f.file_bytes / 1e9:.1f} GB) does not fit into free memory "
            f"({f.memory_free / 1e9:.1f} GB), and the disk gives {f.from_disk:,.0f} images/s where {rate}."
        )
        said = [_smaller(f), "Put the file on a faster disk, or free memory for the page cache."]
    else:
        percent = 100 * share[kind] / busy
        names = {"decode": "Decoding", "augmentation": "Augmentation", "copy": "Moving memory"}
        first = f"{names[kind]} binds: {percent:.0f} % of the processor's time for an image; {rate}."
        said = _mend(kind, f)
    if f.fits and f.from_disk is not None and f.from_disk < f.processor:
        said.append(
            f"The first epoch is bound by the disk where the page cache is cold: {f.from_disk:,.0f} images/s; "
            f"`cat FILE > /dev/null` before the run warms it, later epochs read from memory."
        )
    return [first, *[sentence for sentence in said if sentence]]


def _mend(kind: str, f: Findings) -> list[str]:
    said = []
    if f.workers < f.cores:
        said.append(f"Use more workers: {f.workers} of {f.cores} cores are used.")
    else:
        said.append(f"All {f.cores} cores are used; more workers than cores do not help.")
    if kind == "decode":
        if f.longest <= SMALL:
            said.append("Images this small are best stored raw: massrl data write SOURCE OUT --write_mode raw.")
        said.append(_smaller(f))
    elif kind == "augmentation":
        said.append("Fewer views, smaller ones, or views without blur cost less.")
        if f.stages.work != "rrc":
            said.append('dtype="uint8" leaves normalising to the device.')
    else:
        said.append('dtype="uint8" makes the batch a quarter of the size; fewer batches_ahead keep it in cache.')
    return said


def _smaller(f: Findings) -> str:
    """The advice to store smaller images, where they are much larger than what is made of them."""
    if f.raw or f.longest <= 2 * f.view_size:
        return ""
    return (
        f"The images' median longer side is {f.longest} pixels for views of {f.view_size}: write the file with "
        f"--max_resolution {2 * f.view_size}, which decodes less."
    )
