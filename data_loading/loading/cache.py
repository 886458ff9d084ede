"""Cache: where the stored bytes are when a batch is decoded.

page:    the file's memory map; the operating system keeps what is used often (the default).
process: memory of this process. A page of the file is read before its first use in the epoch and freed after its last
         use; with order="quasi_random" few pages are held at a time, with "random" almost all of them by the end.
shared:  the whole data set, once in the memory of the node, for all of its processes; see `node_memory`.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from data_loading.beton.mapping import Part, called
from data_loading.beton.reader import Reader
from data_loading.errors import BetonError, ConfigError, one_of

if TYPE_CHECKING:
    from data_loading.loading.node_memory import NodeMemory

CACHES = ("page", "process", "shared")
VARIABLE = "FFCV_DEFAULT_CACHE_PROCESS"
READERS = 4  # threads that read pages; they mostly wait for the disk


def choose(cache: str | None) -> str:
    """The kind of a cache, one of CACHES; None takes what FFCV's variable says (0, 1 or 2), else "page".

    ConfigError for any other name or value.
    """
    if cache is None:
        value = os.environ.get(VARIABLE, "0").strip() or "0"
        if value == "3":
            raise ConfigError(f"{VARIABLE}=3 asks for a cache in redis, which is not offered; set it to 0, 1 or 2")
        if value not in ("0", "1", "2"):
            raise ConfigError(f"{VARIABLE} is {value!r}; it takes 0 (page cache), 1 (process) or 2 (shared)")
        return CACHES[int(value)]
    return one_of("cache", cache, CACHES, ConfigError)


class Mapped:
    """The bytes of an epoch in memory that holds the whole file: nothing has to be fetched."""

    def __init__(self, memory: np.ndarray):
        self.memory = memory

    def fetch(self, i: int) -> None:
        """Start reading the bytes of batch i, counted from the first one of this epoch that is left."""

    def place(self, i: int, ptr: np.ndarray) -> np.ndarray:
        """Offsets of a batch's samples in the file, (B,) int64 -> their offsets in `memory`, (B,) int64.

        Waits until the bytes are there; BetonError where they cannot be read.
        """
        return ptr

    def release(self, i: int) -> None:
        """Batch i is rendered: pages that no later batch needs may be overwritten."""

    def close(self) -> None:
        """End the threads that read; the epoch is over."""


class Slots:
    """The bytes of an epoch in slots of this process's memory; a page has a slot from its first batch to its last.

    parts: the files, as a Reader has them.  page_size: bytes.
    page (n, B) int64: the page of each sample of each batch.  ahead: batches in flight, not counting the current one.
    limit: bytes at most.  threads: read pages in threads; else in the caller, when a batch is fetched.
    """

    def __init__(
        self, parts: Sequence[Part], page_size: int, page: np.ndarray, ahead: int, limit: int, threads: bool = True
    ):
        self.parts, self.page_size = parts, page_size
        self._page = page
        n, per_batch = page.shape
        pages, first = np.unique(page, return_index=True)
        last = n * per_batch - 1 - np.unique(page[::-1, ::-1], return_index=True)[1]
        first, last = first // per_batch, last // per_batch
        batches = np.arange(n)
        begun = np.searchsorted(np.sort(first), batches + ahead, side="right")
        ended = np.searchsorted(np.sort(last), batches, side="left")
        slots = int((begun - ended).max())
        if slots * page_size > limit:
            raise ConfigError(
                f"cache='process': this order holds {slots} pages of {called([p.path for p in parts])} at a time, "
                f"{slots * page_size / 2**30:.1f} GiB, and cache_gib allows {limit / 2**30:.1f}; "
                f"choose order='quasi_random' with fewer pool_pages, or cache='page'"
            )
        self._slots = np.empty(slots * page_size, np.uint8)
        self.memory = self._slots.view()
        self.memory.flags.writeable = False  # as a memory map is: numba compiles kernels for one of the two only
        self._free = list(range(slots))
        self._slot = np.full(int(pages[-1]) + 1, -1, np.int64)
        self._begin = [pages[a] for a in _split(first, n)]
        self._end = [pages[a] for a in _split(last, n)]
        self._reads: dict[int, Future[None]] = {}
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="data_loading-read") if threads else None

    def fetch(self, i: int) -> None:
        """Start reading the pages whose first batch is i; batches are fetched in order."""
        for page in self._begin[i].tolist():
            self._slot[page] = slot = self._free.pop()
            if self._pool is None:
                self._read(page, slot)
            else:
                self._reads[page] = self._pool.submit(self._read, page, slot)

    def place(self, i: int, ptr: np.ndarray) -> np.ndarray:
        """Offsets of batch i's samples in the file, (B,) int64 -> their offsets in `memory`, once they are read."""
        for page in np.unique(self._page[i]).tolist() if self._reads else ():
            self._reads[page].result()
        return self._slot[ptr // self.page_size] * self.page_size + ptr % self.page_size

    def release(self, i: int) -> None:
        """Free the slots of the pages whose last batch is i."""
        for page in self._end[i].tolist():
            self._free.append(int(self._slot[page]))
            self._reads.pop(page, None)

    def close(self) -> None:
        """End the threads that read."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, page: int, slot: int) -> None:
        part = self.parts[bisect.bisect_right(self.parts, page * self.page_size, key=lambda part: part.start) - 1]
        start = page * self.page_size - part.start
        size = min(self.page_size, part.size - start)  # the last page ends with the file
        into, done = memoryview(self._slots)[slot * self.page_size :][:size], 0
        with part.open() as file:  # of thousands of files not all can be open at a time
            while done < size:
                n = os.preadv(file.fileno(), [into[done:]], start + done)
                if n == 0:
                    raise BetonError(f"{part.path} has become shorter while it was read; write it again")
                done += n


class Cache:
    """Where a loader's bytes are in all of its epochs.

    kind: page, process or shared.  gib: the most that `process` may hold, GiB; default: half of the machine's memory.
    ConfigError where the system has no shared memory of this kind, BetonError where an image is on two pages.
    """

    def __init__(self, reader: Reader, kind: str, gib: float | None = None):
        self.reader, self.kind = reader, kind
        # Files are opened by name again, and the process may change its folder meanwhile.
        self._parts = [part._replace(path=part.path.absolute()) for part in reader.parts]
        self.limit = int(gib * 2**30) if gib is not None else _memory() // 2
        self._shared: NodeMemory | None = None
        if kind == "shared" and not hasattr(os, "memfd_create"):
            raise ConfigError("cache='shared' needs Linux; choose 'page' or 'process'")
        if kind == "process":
            table = reader.image_table()
            if (table.ptr % reader.page_size + table.size > reader.page_size).any():
                raise BetonError(f"{reader.path}: images cross the borders of pages; choose cache='page'")

    def epoch(self, ptr: np.ndarray | None, ahead: int, threads: bool = True) -> Mapped | Slots:
        """The bytes of one epoch.

        ptr (n, B) int64: where in the file each sample of each of its n batches begins; needed for `process` only.
        ahead, threads: as of Slots.
        """
        if self.kind == "process" and ptr is not None:
            return Slots(self._parts, self.reader.page_size, ptr // self.reader.page_size, ahead, self.limit, threads)
        if self.kind == "shared" and self._shared is None:
            from data_loading.loading.node_memory import NodeMemory  # it uses what only Linux has

            self._shared = NodeMemory(self._parts)
        return Mapped(self._shared.memory if self._shared else self.reader.memory)


def _split(batch: np.ndarray, n: int) -> list[np.ndarray]:
    """For each of n batches the indices of the P pages that `batch` (P,) assigns to it."""
    order = np.argsort(batch, kind="stable")
    return np.split(order, np.searchsorted(batch[order], np.arange(1, n)))


def _memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
