"""Threads that work on jobs in order: a job is cut into chunks, and is done when its last chunk is.

concurrent.futures.ThreadPoolExecutor was tried in place of `Team`, in alternating runs on 2 busy cores. Batches of
photographs took as long (CPU time 0.92 to 0.99 of ours), and Ctrl-C, failed epochs and dropped iterators left no thread
and no memory either. It is not used because:
- a program that ends within an epoch would first work off all batches that are prepared ahead (5.0 s of CPU time, not
  1.6 s, with 8 batches of 64 photographs ahead): Python joins an executor's threads before any of our code runs;
- its threads own no scratch memory, so each chunk has to fetch a worker from a queue, and it makes a Future for each
  chunk that nobody reads: 28 us more for a batch, which is 13 % for batches of 2 small images;
- `Job` is needed with it, too: begun once, by the first thread; so it would save about 20 lines.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias


class Job:
    """One result, made in chunks by any of the threads.

    begin() -> the result, which the chunks fill; called once, by the first thread that works on the job.
    chunk(result, worker, k) does the k-th of `chunks`; `worker` is the thread's own object.
    """

    def __init__(self, chunks: int, begin: Callable[[], Any], chunk: Callable[[Any, Any, int], None]):
        self.chunks, self._begin, self._chunk = chunks, begin, chunk
        self._lock, self._done = threading.Lock(), threading.Event()
        self._left, self._shared = chunks, None
        self._failed = False
        self._error: BaseException | None = None  # the first one, until `result` or `drop`

    def run(self, worker: Any, k: int) -> None:
        """Do chunk k; errors are kept for `result`."""
        try:
            if self._shared is None:
                with self._lock:
                    if self._shared is None and not self._failed:
                        self._shared = self._begin()
            if not self._failed:
                self._chunk(self._shared, worker, k)
        except BaseException as error:  # of any kind: else the consumer would wait for ever
            with self._lock:
                if not self._failed:  # the first error is the one that `result` raises
                    self._error, self._failed = error, True  # in this order: others read _failed without the lock
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last or self._failed:
            self._done.set()

    def result(self) -> Any:
        """Wait for all chunks and return what they have filled; the first error of any thread is raised here."""
        self._done.wait()
        if self._failed:
            assert self._error is not None, "the job was dropped"
            try:
                raise self._error
            finally:
                self.drop()
        return self._shared

    def drop(self) -> None:
        """Forget the error: its traceback refers to the job, and such a ring would keep files and batches in memory."""
        self._error = None


Tasks: TypeAlias = "SimpleQueue[tuple[Job, int] | None]"  # a job and the number of its chunk; None ends a thread


class Team:
    """A thread for each worker; workers are objects that one thread owns, and hands to the chunks that it works on.

    start() starts the threads.  close() ends each after its present chunk and waits for them; dropping the last
    reference and the end of Python do so, too.
    """

    def __init__(self, workers: Sequence[Any]):
        self._queue: Tasks = SimpleQueue()
        stop = threading.Event()
        self._threads = [
            threading.Thread(target=_work, args=(self._queue, stop, worker), name=f"data_loading-{i}", daemon=True)
            for i, worker in enumerate(workers)
        ]
        self.close = weakref.finalize(self, _end, self._queue, stop, self._threads)

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        """Queue all chunks of a job; returns the job, whose `result` waits for them."""
        for k in range(job.chunks):
            self._queue.put((job, k))
        return job


class InCaller:
    """A team without threads: `submit` does the whole job at once, in the thread that calls it (num_workers=0)."""

    def __init__(self, worker: Any):
        self._worker = worker

    def start(self) -> None:
        """Do nothing; there are no threads."""

    def submit(self, job: Job) -> Job:
        """Do all chunks of a job; returns the job, whose `result` need not wait."""
        for k in range(job.chunks):
            job.run(self._worker, k)
        return job

    def close(self) -> None:
        """Do nothing; there are no threads."""


def _work(queue: Tasks, stop: threading.Event, worker: Any) -> None:
    while True:
        task = queue.get()
        if task is None or stop.is_set():
            return
        task[0].run(worker, task[1])
        del task  # a waiting thread must not keep a batch alive


def _end(queue: Tasks, stop: threading.Event, threads: Sequence[threading.Thread]) -> None:
    stop.set()
    for _ in threads:
        queue.put(None)
    for thread in threads:
        # Garbage may be collected, and a loader with it, in any thread; and Ctrl-C may come before all have started.
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join()
