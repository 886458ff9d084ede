"""Decoding alone, the upper bound of loaders: each JPEG of a batch is decoded into the batch's one buffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_loading.bench.peers.base import Peer
from data_loading.decode import decode_jpeg


class Entry(Peer):
    """The bound `decode`, for works on photographs; images stored otherwise than as JPEG cost it nothing."""

    @classmethod
    def can(cls, work) -> bool:
        """Whether the work is for photographs; small images are mostly stored raw."""
        return not work.small

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """Decode the images of these rows; yields the number of images of each batch."""
        batches = [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self._decode, batches)

    def _decode(self, rows: Sequence[int]) -> int:
        buffer = np.empty(3 * int(self.images.table.height.max()) * int(self.images.table.width.max()), np.uint8)
        for row in rows:
            data = self.images.jpeg(row)
            if data is not None:
                decode_jpeg(data, buffer)
        return len(rows)
