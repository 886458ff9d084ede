"""DatasetWriter with FFCV's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_loading.fields import Field
from data_loading.sources.dataset_writer import DatasetWriter as _DatasetWriter


class DatasetWriter(_DatasetWriter):
    """Write a data set into the .beton file `fname`.

    page_size: bytes, a power of two from 2 MiB on; None: as large as the largest sample needs.
    num_workers: processes that encode; below 1: one per core. Unlike FFCV's, which forks, more than one needs
    `if __name__ == "__main__":` around the main part of the script, so the default is 1.
    """

    def __init__(self, fname: str | Path, fields: dict[str, Field], page_size: int | None = None, num_workers: int = 1):
        super().__init__(fname, fields, page_size, num_workers)

    def from_indexed_dataset(
        self,
        dataset: Any,
        indices: Sequence[int] | None = None,
        chunksize: int = 100,
        shuffle_indices: bool = False,
        **options: Any,
    ) -> Path:
        """Write dataset[i] for each i of indices, by default all; returns the path.

        chunksize: ignored, FFCV's.  options: those of data_loading.DatasetWriter.from_indexed_dataset.
        """
        return super().from_indexed_dataset(dataset, indices, shuffle_indices=shuffle_indices, **options)
