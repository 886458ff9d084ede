"""Doctor: measures how fast a file is loaded on this machine, finds the bottleneck, and says what to change.

The bottleneck is the slowest of the disk, the processor and the training step that takes the batches, each measured as
images per second. Of the processor's stages (decode, augmentation, copy) it is the one that takes the most time.
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
from data_loading.config.memory import free_memory
from data_loading.decode import RAW
from data_loading.errors import ConfigError

COLD_BYTES = 128 << 20  # at most as many are read from the disk
BLOCK = 1 << 20
CLEARLY = 1.1  # a rate counts as lower than another if it is lower by this factor


@dataclass
class Findings:
    """The measurements of `examine`.

    cores: that this process may use.  workers: threads of the loader.  file_bytes: of all parts of the file.
    stored_bytes: mean of an image.  longest: median of the images' longer side, pixels.
    raw: whether all images are stored as pixels.  memory_free: bytes that the page cache may use; None if unknown.
    disk: bytes/s of a cold read; None where the system cannot drop cached pages.
    consumer: images/s of the training step; None if unknown.  view_size: side of the first view, pixels.
    """

    stages: stages.Stages
    cores: int
    workers: int
    file_bytes: int
    stored_bytes: float
    longest: int
    raw: bool
    memory_free: int | None
    disk: float | None
    consumer: float | None
    view_size: int

    @property
    def per_worker(self) -> float:
        """Images/s of one thread, waiting not counted."""
        busy = self.stages.wall - self.stages.wait
        return 1e3 / busy

    @property
    def processor(self) -> float:
        """Images/s of all workers, as many of them as there are cores."""
        return self.per_worker * min(self.workers, self.cores)

    @property
    def from_disk(self) -> float | None:
        """Images/s that the disk delivers; None if unknown."""
        return None if self.disk is None else self.disk / self.stored_bytes

    @property
    def fits(self) -> bool:
        """Whether the file fits into the page cache, so that only the first epoch reads the disk."""
        return self.memory_free is None or self.file_bytes < 0.8 * self.memory_free


def examine(
    file: str | Path | Sequence[str | Path],
    work: Work,
    rows: Sequence[int],
    batch_size: int,
    workers: int | None,
    step_ms: float | None,
) -> Findings:
    """Measure the stages of a work on images `rows` of a .beton file, and the disk's speed.

    workers: threads that training will use; None: all cores.
    step_ms: milliseconds of one training step of batch_size images; None if unknown.
    Raises ConfigError for a number out of range.
    """
    if step_ms is not None and not step_ms > 0:
        raise ConfigError(f"step_ms is {step_ms}; it must be above 0")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = cores if workers is None else workers
    if workers < 1:
        raise ConfigError(f"workers is {workers}; it must be at least 1")
    largest = max(named(file), key=lambda one: one.stat().st_size)  # a shard may be small
    disk = cold_rate(largest)  # before the file is mapped: mapped pages cannot be dropped
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
    """Bytes/s of reading the start of a file after its cached pages were dropped; None where that is not possible."""
    if not hasattr(os, "posix_fadvise"):
        return None
    with open(file, "rb", buffering=0) as stream:
        os.fsync(stream.fileno())  # pages not yet written to disk cannot be dropped
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        buffer, n = bytearray(BLOCK), 0
        start = time.perf_counter()
        while n < COLD_BYTES and (got := stream.readinto(buffer)):
            n += got
        return n / (time.perf_counter() - start)


def bottleneck(f: Findings) -> str:
    """The slowest part: "disk", "decode", "augmentation", "copy" or "consumer" (the training step)."""
    if f.consumer is not None and f.processor > CLEARLY * f.consumer:
        if f.fits or f.from_disk is None or f.from_disk > CLEARLY * f.consumer:
            return "consumer"
    if not f.fits and f.from_disk is not None and f.from_disk * CLEARLY < f.processor:
        return "disk"
    costs = _costs(f.stages)
    return max(costs, key=costs.get)


def _costs(s: stages.Stages) -> dict[str, float]:
    """Milliseconds per image of what the processor does."""
    return {"decode": s.decode, "augmentation": s.sample + s.render, "copy": s.read + s.collate}


def sentences(f: Findings) -> list[str]:
    """One sentence with the bottleneck, then what to change, the most useful first."""
    kind, s = bottleneck(f), f.stages
    rate = f"{f.workers} worker{'s' * (f.workers != 1)} make about {f.processor:,.0f} images/s ({s.work})"
    if kind == "consumer":
        need = int(np.ceil(f.consumer / f.per_worker))
        first = f"The training step is the bottleneck: it takes {f.consumer:,.0f} images/s, {rate}."
        said = [f"{need} worker{'s' * (need != 1)} would be enough; a faster loader would change nothing."]
    elif kind == "disk":
        first = (
            f"The disk is the bottleneck: the file ({f.file_bytes / 1e9:.1f} GB) does not fit into free memory "
            f"({f.memory_free / 1e9:.1f} GB), and the disk gives {f.from_disk:,.0f} images/s where {rate}."
        )
        said = [_smaller(f), "Put the file on a faster disk, or free memory for the page cache."]
    else:
        percent = 100 * _costs(s)[kind] / (s.wall - s.wait)
        names = {"decode": "Decoding", "augmentation": "Augmentation", "copy": "Copying memory"}
        first = f"{names[kind]} is the bottleneck: {percent:.0f} % of the processor's time per image; {rate}."
        said = _advice(kind, f)
    if f.fits and f.from_disk is not None and f.from_disk < f.processor:
        said.append(
            f"In the first epoch, with a cold page cache, the disk is the bottleneck: {f.from_disk:,.0f} images/s; "
            f"`cat FILE > /dev/null` before the run fills the cache; later epochs read from memory."
        )
    return [first, *[sentence for sentence in said if sentence]]


def _advice(kind: str, f: Findings) -> list[str]:
    """What to change where the processor is the bottleneck; kind: its stage that takes the most time."""
    said = []
    if f.workers < f.cores:
        said.append(f"Use more workers: {f.workers} of {f.cores} cores are used.")
    else:
        said.append(f"All {f.cores} cores are used; more workers than cores do not help.")
    if kind == "decode":
        if f.longest <= SMALL:
            said.append(
                "Images this small load fastest when stored raw: massrl data write SOURCE OUT --write_mode raw."
            )
        said.append(_smaller(f))
    elif kind == "augmentation":
        said.append("Fewer views, smaller ones, or views without blur cost less.")
        if f.stages.work != "rrc":
            said.append('dtype="uint8" leaves normalisation to the device.')
    else:
        said.append(
            'dtype="uint8" makes a batch a quarter of the size; fewer batches_ahead keep it in the processor cache.'
        )
    return said


def _smaller(f: Findings) -> str:
    """The advice to store smaller images if they are much larger than the views; else ""."""
    if f.raw or f.longest <= 2 * f.view_size:
        return ""
    return (
        f"The images' median longer side is {f.longest} pixels for views of {f.view_size}: write the file with "
        f"--max_resolution {2 * f.view_size}, so that fewer pixels are decoded."
    )
