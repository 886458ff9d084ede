"""DatasetWriter with FFCV's arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_loading.fields import Field
from data_loading.sources.dataset_writer import DatasetWriter as _DatasetWriter


class DatasetWriter(_DatasetWriter):
    """Write a data set into `fname`.

    page_size: bytes, a power of two from 2 MiB; None: as large as a sample needs.
    num_workers: processes that encode; below 1: one per core. Unlike FFCV's, which forks, more than one needs
    `if __name__ == "__main__":` around the main part of the script, so one is what you get unless you ask.
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
        """Write dataset[i] for i in indices. chunksize has no use here; options: of data_loading.DatasetWriter's."""
        return super().from_indexed_dataset(dataset, indices, shuffle_indices=shuffle_indices, **options)
