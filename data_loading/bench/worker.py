"""The process of a peer: reads one JSON command per line and answers each with one line of JSON.

Run as `python -m data_loading.bench.worker`. With a process for each peer, their imports and their peak memory are
separate, and rounds of several peers can still alternate.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator


def clock(batches: Iterator[int], untimed: int) -> tuple[int, float]:
    """(images, seconds) of all batches after the first `untimed`; each batch is dropped as soon as it arrives.

    batches: numbers of images.  The clock starts when the last untimed batch arrives and stops when the last one does.
    Raises ValueError if no batch is left to time.
    """
    images, start, now = 0, None, 0.0
    for at, n in enumerate(batches):
        now = time.perf_counter()
        if at == untimed - 1:
            start = now
        elif at >= untimed:
            images += n
    if start is None or not images:
        raise ValueError(f"a round of fewer than {untimed + 1} batches cannot be timed")
    return images, now - start


class Service:
    """The commands of a peer's process: `open`, then any number of `run`."""

    def open(self, peer: str, work: str, file: str, batch_size: int, workers: int, rows: list[int]) -> dict:
        """Build the peer and make the views of `rows` once.

        Returns {"first_batch_s", "untimed"}: seconds from building to the first batch, without imports, and the number
        of batches to leave untimed in a round; or {"cannot": True} if the library does not offer the work.
        """
        from data_loading.bench.peers import peer_class
        from data_loading.bench.peers.base import one_thread
        from data_loading.bench.works import WORKS

        kind = peer_class(peer)
        one_thread()
        if not kind.can(WORKS[work]):
            return {"cannot": True}
        start = time.perf_counter()
        self.peer = kind(WORKS[work], file, batch_size, workers)
        batches = self.peer.batches(rows)
        next(batches)
        first = time.perf_counter() - start
        for _ in batches:
            pass
        return {"first_batch_s": first, "untimed": self.untimed}

    @property
    def untimed(self) -> int:
        """Batches at the start of a round that may have been made before it: one per worker and those in a queue."""
        return max(1, self.peer.workers) + self.peer.ahead

    def run(self, rows: list[int]) -> dict:
        """Make the views of `rows` and return {"images", "seconds"} of the timed batches."""
        images, seconds = clock(self.peer.batches(rows), self.untimed)
        return {"images": images, "seconds": seconds}


def main() -> None:
    """Answer commands until standard input is closed."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints goes to stderr, not between the answers
    warnings.filterwarnings("ignore")
    service = Service()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(service, command.pop("do"))(**command)
        except Exception as error:  # sent to the parent process, which adds the peer's name
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
