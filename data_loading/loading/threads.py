"""Threads that work on jobs in order: a job is cut into chunks, and done when its last chunk is."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any


class Job:
    """One result, made in chunks by any of the threads.

    begin() -> what the chunks share, and the result; called once, by the thread that comes first.
    chunk(shared, worker, k) does the k-th of `chunks`.
    """

    def __init__(self, chunks: int, begin: Callable[[], Any], chunk: Callable[[Any, Any, int], None]):
        self.chunks, self._begin, self._chunk = chunks, begin, chunk
        self._lock, self._done = threading.Lock(), threading.Event()
        self._left, self._shared = chunks, None
        self._failed, self._error = False, None

    def run(self, worker: Any, k: int) -> None:
        """Do chunk k; errors are kept for `result`."""
        try:
            if self._shared is None:
                with self._lock:
                    if self._shared is None and not self._failed:
                        self._shared = self._begin()
            if not self._failed:
                self._chunk(self._shared, worker, k)
        except BaseException as error:  # whatever it is, the consumer must not wait for ever
            with self._lock:
                if not self._failed:  # the first one is told
                    self._failed, self._error = True, error
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last or self._failed:
            self._done.set()

    def result(self) -> Any:
        """What the chunks shared, once all are done; an error of any thread is raised here."""
        self._done.wait()
        if self._failed:
            try:
                raise self._error
            finally:
                self.drop()
        return self._shared

    def drop(self) -> None:
        """Forget the error: it knows the job by its traceback, and such a ring would keep files and batches."""
        self._error = None


class Team:
    """One thread per worker; `worker` is an object of the thread's own that chunks are given.

    start() them;  close() ends all after their present chunk and waits for them, and so does the end of Python.
    """

    def __init__(self, workers: Sequence[Any]):
        self._queue: SimpleQueue = SimpleQueue()
        stop = threading.Event()
        self._threads = [
            threading.Thread(target=_work, args=(self._queue, stop, worker), name=f"data_loading-{i}", daemon=True)
            for i, worker in enumerate(workers)
        ]
        self.close = weakref.finalize(self, _end, self._queue, stop, self._threads)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Job:
        for k in range(job.chunks):
            self._queue.put((job, k))
        return job


class InCaller:
    """A team without threads: `submit` does the whole job at once, in the thread that calls it (num_workers=0)."""

    def __init__(self, worker: Any):
        self._worker = worker

    def start(self) -> None:
        """Nothing to start."""

    def submit(self, job: Job) -> Job:
        for k in range(job.chunks):
            job.run(self._worker, k)
        return job

    def close(self) -> None:
        """Nothing to end."""


def _work(queue: SimpleQueue, stop: threading.Event, worker: Any) -> None:
    while True:
        task = queue.get()
        if stop.is_set():
            return
        task[0].run(worker, task[1])
        del task  # a waiting thread must not keep a batch alive


def _end(queue: SimpleQueue, stop: threading.Event, threads: Sequence[threading.Thread]) -> None:
    stop.set()
    for _ in threads:
        queue.put(None)
    for thread in threads:
        # Garbage may be collected, and a loader with it, in any thread; and Ctrl-C may come before all have started.
        if thread is not threading.current_thread() and thread.ident is not None:
            thread.join()
