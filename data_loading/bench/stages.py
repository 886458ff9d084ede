"""Stages: how one thread of our loader spends its time on an image, and a lower bound of that time.

read, decode, sample (random numbers) and render (views) are timed one by one, by calling the loader's parts on memory
that is cached or mapped. collate is the processor time that the real loader with one thread takes beyond these: memory
of the batch and bookkeeping. wait is the rest of its wall-clock time, in which none of its threads ran.
The lower bound is decoding, and moving every byte of pixels and views once through memory at the speed of a copy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_loading.bench.works import Work
from data_loading.beton.reader import Reader
from data_loading.decode import JPEG, PNG, decode_jpeg, decode_png
from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from data_loading.render.numba_renderer import Renderer
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet
from data_loading.views.view_sets import get as get_views

PASSES = 3  # over the images; the quickest counts, since disturbances only add time
COPY_BYTES = 64 << 20  # larger than the caches of most processors


@dataclass
class Stages:
    """Milliseconds per image of each stage, and the numbers of the lower bound.

    work: its name.  wall: of the real loader with one thread.  touched: bytes per image that rendering must move.
    bandwidth: bytes/s read and written while copying memory.
    """

    work: str
    read: float
    decode: float
    sample: float
    render: float
    collate: float
    wait: float
    wall: float
    touched: float
    bandwidth: float

    @property
    def parts(self) -> dict[str, float]:
        """Stage -> milliseconds per image; their sum is about `wall`."""
        return {name: getattr(self, name) for name in ("read", "decode", "sample", "render", "collate", "wait")}

    @property
    def bound(self) -> float:
        """Lower bound of the milliseconds per image."""
        return self.decode + 1e3 * self.touched / self.bandwidth


def copy_bandwidth() -> float:
    """Bytes/s that one thread reads and writes while copying memory, in the best of five copies."""
    source, target = np.ones(COPY_BYTES, np.uint8), np.zeros(COPY_BYTES, np.uint8)
    best = min(_seconds(lambda: np.copyto(target, source), time.perf_counter) for _ in range(5))
    return 2 * COPY_BYTES / best


def measure(work: Work, file: str | Path | Sequence[str | Path], rows: Sequence[int], batch_size: int) -> Stages:
    """Time the stages of a work on images `rows` of a .beton file, in one thread."""
    rows = np.asarray(rows, np.int64)
    with Reader(file) as reader:
        view_set = get_views(work.view_set(), work.views[0].size)
        parts = Parts(reader, view_set, work.dtype, rows[:batch_size])
        parts.run(rows[:2])  # compiled, mapped, allocated
        times = np.array([parts.run(rows) for _ in range(PASSES)]).min(axis=0)  # (4,) seconds
        touched = parts.touched(rows)
    read, decode, sample, render = (1e3 * float(t) / len(rows) for t in times)
    cpu, wall = (1e3 * t for t in _real_loader(work, file, rows, batch_size, view_set))
    collate = max(cpu - (read + decode + sample + render), 0.0)
    wait = max(wall - cpu, 0.0)
    return Stages(work.name, read, decode, sample, render, collate, wait, wall, touched, copy_bandwidth())


class Parts:
    """The loader's parts, called one after the other in this thread.

    reader: of a .beton file.  dtype: of the views.  batch: rows of a batch; its length is that of all batches.
    """

    def __init__(self, reader: Reader, view_set: ViewSet, dtype: str, batch: np.ndarray):
        self.reader, self.table, self.view_set = reader, reader.image_table(), view_set
        largest = int(max(self.table.height.max(), self.table.width.max()))
        self.drawer = Drawer(view_set, seed=0)
        normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD) if dtype == "float32" else None
        self.renderer = Renderer(view_set, largest, normalize)
        self.buffer = np.empty(3 * int((self.table.height.astype(np.int64) * self.table.width).max()), np.uint8)
        self.stored = np.empty(int(self.table.size.max()), np.uint8)
        self.outs = [np.zeros((len(members), len(batch), 3, side, side), dtype) for side, members in view_set.groups()]

    def run(self, rows: np.ndarray) -> tuple[float, float, float, float]:
        """Seconds of this thread's processor time for all `rows`: (read, decode, sample, render)."""
        spent = np.zeros(4)
        most = self.outs[0].shape[1]
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            height, width = self.table.height[part].astype(np.int64), self.table.width[part].astype(np.int64)
            before = time.thread_time()
            plan = self.drawer(0, part, height, width)
            spent[2] += time.thread_time() - before
            encoded = np.isin(self.table.mode[part], (JPEG, PNG))
            if not encoded.any():
                spent[0] += _seconds(lambda part=part: self._read_all(part))
                before = time.thread_time()
                self.renderer(self.reader.memory, self.table.ptr[part], height, width, plan, 0, self.outs)
                spent[3] += time.thread_time() - before
                continue
            for i, row in enumerate(part):
                before = time.thread_time()
                data = self._read(int(row))
                read = time.thread_time()
                pixels = self._decode(int(row), data)
                decoded = time.thread_time()
                one = slice(i, i + 1)
                self.renderer(pixels, np.zeros(1, np.int64), height[one], width[one], plan, i, self.outs)
                rendered = time.thread_time()
                spent[0] += read - before
                spent[1] += decoded - read
                spent[3] += rendered - decoded
        return tuple(spent)

    def _read(self, row: int) -> np.ndarray:
        """A copy of an image's stored bytes, uint8 (n,), in memory that the next call overwrites."""
        ptr, size = int(self.table.ptr[row]), int(self.table.size[row])
        self.stored[:size] = self.reader.memory[ptr : ptr + size]
        return self.stored[:size]

    def _read_all(self, rows: np.ndarray) -> None:
        for row in rows:
            self._read(int(row))

    def _decode(self, row: int, data: np.ndarray) -> np.ndarray:
        mode = self.table.mode[row]
        if mode in (JPEG, PNG):
            pixels = (decode_jpeg if mode == JPEG else decode_png)(data, self.buffer).reshape(-1)
        else:
            pixels = data
        # As in the loader; for writable arrays the kernels would be compiled again.
        pixels.flags.writeable = False
        return pixels

    def touched(self, rows: np.ndarray) -> float:
        """Mean bytes per image that rendering must move: pixels read and views written."""
        pixels = 3.0 * float((self.table.height[rows].astype(np.int64) * self.table.width[rows]).mean())
        return pixels + sum(out[:, 0].nbytes for out in self.outs)


def _real_loader(work: Work, file, rows: np.ndarray, batch_size: int, view_set: ViewSet) -> tuple[float, float]:
    """Median (processor, wall-clock) seconds per image of whole epochs with one thread; batches are dropped at once."""
    batch_size = min(batch_size, len(rows))
    rows = rows[: len(rows) // batch_size * batch_size]
    settings = {"num_workers": 1, "order": "sequential", "indices": rows, "dtype": work.dtype}
    loader = Loader(file, batch_size, view_set, **settings)
    spent = []
    for _ in range(PASSES + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        for _batch in loader:
            pass
        spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.median(spent[1:], axis=0) / len(rows)
    return float(cpu), float(wall)


def _seconds(action: Callable[[], object], clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds that an action takes."""
    before = clock()
    action()
    return clock() - before


def text(stages: Stages) -> str:
    """A table of the stages with their shares of the total, and the loader's time divided by the lower bound."""
    whole = sum(stages.parts.values())
    lines = [f"{stages.work}: one thread, ms per image"]
    lines += [f"  {name:<9}{ms:9.4f}  {100 * ms / whole:5.1f} %" for name, ms in stages.parts.items()]
    lines += [
        f"  {'loader':<9}{stages.wall:9.4f}  wall-clock, {1e3 / stages.wall:,.0f} images/s",
        f"  {'bound':<9}{stages.bound:9.4f}  decode + {stages.touched / 1e3:,.0f} kB at "
        f"{stages.bandwidth / 1e9:.1f} GB/s; the loader takes {stages.wall / stages.bound:.2f} times as long",
    ]
    return "\n".join(lines)
