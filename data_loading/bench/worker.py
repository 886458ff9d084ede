"""A peer's process: reads one JSON command a line, answers with one line. Run as python -m data_loading.bench.worker.

Peak memory and imports of the peers do not mix, and rounds of several peers can still be interleaved.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator


def clock(batches: Iterator[int], untimed: int) -> tuple[int, float]:
    """(images, seconds) of all batches after the first `untimed`, each from hand-over to hand-over; all are dropped."""
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
    """What the commands call."""

    def open(self, peer: str, work: str, file: str, batch_size: int, workers: int, rows: list[int]) -> dict:
        """Build the peer and run `rows` once; seconds from building to the first batch, libraries already imported."""
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
        return max(1, self.peer.workers) + self.peer.ahead

    def run(self, rows: list[int]) -> dict:
        """One round."""
        images, seconds = clock(self.peer.batches(rows), self.untimed)
        return {"images": images, "seconds": seconds}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints goes to stderr, not between the answers
    warnings.filterwarnings("ignore")
    service = Service()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = getattr(service, command.pop("do"))(**command)
        except Exception as error:  # told to the process that asked, which names the peer
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
