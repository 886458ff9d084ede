"""EpochIterator: the batches of one epoch, prepared by threads a few batches ahead.

A batch is a job; threads take chunks of its samples, not whole batches, so the first batch of an epoch is ready as soon
as possible. All random numbers are keyed by (seed, epoch, row), so the number of threads changes nothing but the speed.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from data_loading.batch import Batch
from data_loading.kernel.bus_error import answer_bus_errors
from data_loading.kernel.jit import cache_folder, cache_root, is_cold
from data_loading.loading.assembly import Epoch, PendingBatch
from data_loading.loading.bad_samples import BadSamples
from data_loading.loading.order import batch_positions, epoch_order
from data_loading.loading.threads import InCaller, Job, Team
from data_loading.loading.worker import Worker

if TYPE_CHECKING:
    from data_loading.loading.loader import Loader, Rendering

log = logging.getLogger(__name__)
CHUNK = 1 << 18  # pixels that a thread takes at a time: one photograph, or 256 images of 32 x 32


class EpochIterator(Iterator[Batch]):
    """The batches of a Loader's next epoch; `iter(loader)` makes one.

    Everything is read from the loader at the first `next`, because Lightning calls iter() before it sets the epoch and
    starts torch.distributed. The threads end after the last batch, with an error, by `close()`, and when nobody refers
    to the iterator any more; so neither the loader nor a job may refer to it.

    As with a generator, `next` and `close` are a ValueError while another thread is in `next`: if its batch were
    dropped, it would wait for ever.
    """

    _team: Team | InCaller | None = None
    _closed = False

    def __init__(self, loader: Loader):
        self._loader = loader
        self._in_use = threading.Lock()
        self._jobs: deque[Job] = deque()  # batches that are being prepared, in order
        self._workers: list[Worker] = []
        self._epoch: Epoch | None = None
        self._rendering: Rendering | None = None  # of the epoch's size

    def __next__(self) -> Batch:
        self._enter()
        asked = time.perf_counter()
        try:
            if self._closed:
                raise StopIteration
            if self._epoch is None:
                self._begin()
            return self._next_batch()
        except BaseException:  # StopIteration, too
            self._end()
            raise
        finally:
            self._loader.waited_s += time.perf_counter() - asked
            self._in_use.release()

    def close(self) -> None:
        """End the threads, after the chunks they are working on, and free the memory of batches not handed out."""
        self._enter()
        try:
            self._end()
        finally:
            self._in_use.release()

    def _enter(self) -> None:
        if not self._in_use.acquire(blocking=False):
            raise ValueError("the iterator is in use: a call of next() has not returned yet; wait for it")

    def _end(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._team is not None:
            self._team.close()
        for job in self._jobs:
            job.drop()
        if self._epoch is not None:
            self._epoch.stored.close()
        if self._rendering is not None:
            self._rendering.idle_workers += self._workers
        self._jobs, self._workers, self._team, self._epoch, self._rendering = deque(), [], None, None, None

    def __del__(self) -> None:
        self._end()

    def _begin(self) -> None:
        """Take the next epoch from the loader, and start the threads."""
        loader = self._loader
        number, self._first = loader._next
        self._total, (self._rank, self._world_size) = len(loader), loader.rank_and_world_size
        loader._check(self._world_size)
        answer_bus_errors()
        for part, path in zip(loader.reader.parts, loader._files, strict=True):
            part.check(path)
        loader._next = number + 1, 0
        self._batch_size = loader.batch_size
        self._warn()
        self._ahead = loader.batches_ahead if loader.num_workers else 0
        self._prepared = self._i = self._first  # the batches to prepare and to hand out next
        self._rendering = rendering = loader.rendering(number)
        for _ in range(max(1, loader.num_workers)):
            idle = rendering.idle_workers
            self._workers.append(idle.pop() if idle else Worker(rendering.assembler, rendering.bad))
        self._epoch = self._new_epoch(number)
        self._team = Team(self._workers) if loader.num_workers else InCaller(self._workers[0])
        self._team.start()

    def _warn(self) -> None:
        loader = self._loader
        if self._first and self._batch_size != loader._given_batch_size:
            log.warning("batches of %d images per process: the state fixed the global batch", self._batch_size)
        if (
            os.environ.get("WORLD_SIZE", "1") != "1"
            and loader.given.get("world_size") is None
            and self._world_size == 1
        ):
            log.warning("WORLD_SIZE is set, but torch.distributed does not run: this process takes whole batches")
        if cache_folder() is None:
            log.warning(
                "compiling the kernels of data_loading, about half a minute in each process, since they cannot be kept "
                "in %s; set NUMBA_CACHE_DIR to a folder that can be written",
                cache_root(),
            )
        elif is_cold():
            log.warning("compiling the kernels of data_loading; this happens once and takes about half a minute")

    def _new_epoch(self, number: int) -> Epoch:
        loader = self._loader
        assert self._rendering is not None
        table, ptr, blocks = loader.reader.image_table(), None, self._rendering.blocks
        page = table.ptr[loader.indices] // loader.reader.page_size if loader.order == "quasi_random" else None
        order = epoch_order(loader.order, loader.indices, page, loader.order_seed, number, loader.pool_pages)
        if loader._cache.kind == "process" and self._first < self._total:  # it plans which pages to hold when
            ptr = table.ptr[order[np.stack([self._positions(i)[0] for i in range(self._first, self._total)])]]
        return Epoch(number, order, loader._cache.epoch(ptr, self._ahead, bool(loader.num_workers)), blocks)

    def _positions(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Of batch i: positions (B,) int64 of this process's samples in the epoch's order, and valid (B,) bool."""
        return batch_positions(i, len(self._loader.indices), self._batch_size, self._rank, self._world_size)

    def _next_batch(self) -> Batch:
        while self._prepared < self._total and self._prepared <= self._i + self._ahead:
            self._prepare(self._prepared)
            self._prepared += 1
        if not self._jobs:
            raise StopIteration
        assert self._epoch is not None
        pending: PendingBatch = self._jobs.popleft().result()
        self._epoch.stored.release(self._i - self._first)
        assert self._rendering is not None
        batch = self._rendering.bad.finish(pending)
        self._i += 1
        ended = self._i == self._total
        self._loader._at = (self._epoch.number + 1, 0) if ended else (self._epoch.number, self._i)
        return batch

    def _prepare(self, i: int) -> None:
        assert self._epoch is not None and self._team is not None and self._rendering is not None
        loader, k = self._loader, i - self._first
        one = i % len(loader._files)  # of the files a batch: there may be thousands
        loader.reader.parts[one].check(loader._files[one])
        self._epoch.stored.fetch(k)
        job = _job(self._rendering.bad, self._epoch, k, *self._positions(i), max(1, loader.num_workers))
        self._jobs.append(self._team.submit(job))


def _job(bad: BadSamples, epoch: Epoch, k: int, position: np.ndarray, valid: np.ndarray, workers: int) -> Job:
    """The job that prepares batch k of those that `epoch.stored` was made for, in chunks for this many workers."""
    n = len(position)
    step = max(1, min(int(CHUNK / bad.assembler.mean_pixels), -(-n // workers)))

    def begin() -> PendingBatch:
        pending = bad.assembler.begin(epoch, k, position, valid)
        bad.describe(pending)
        return pending

    def chunk(pending: PendingBatch, worker: Worker, c: int) -> None:
        worker(pending, c * step, min((c + 1) * step, n))

    return Job(-(-n // step), begin, chunk)
