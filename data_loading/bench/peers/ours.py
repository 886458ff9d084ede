"""Our loader: threads, and one decode for all views of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from data_loading.bench.peers.base import Peer
from data_loading.loading.loader import Loader


class Entry(Peer):
    """The peer `massrl`: data_loading.Loader on the .beton file."""

    def batches(self, rows: Sequence[int]) -> Iterator[int]:
        """A new loader for these rows; yields the number of images of each batch."""
        loader = Loader(
            self.file,
            self.batch_size,
            self.work.view_set(),
            size=self.work.views[0].size,
            num_workers=self.workers,
            order="sequential",
            drop_last=True,
            indices=rows,
            dtype=self.work.dtype,
        )
        for batch in loader:
            yield len(batch)
