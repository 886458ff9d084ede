"""DatasetWriter: samples -> a .beton file that stock FFCV reads too, the same bytes for any number of workers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.beton.output import Output
from data_loading.beton.workers import Encoded, Failed, encode_all, encode_stream
from data_loading.errors import BetonError, ConfigError, DecodeError

UNKNOWN = 1024  # samples expected where nobody knows; the file has room for more


class BetonWriter:
    """Write a data set into `path`; the file appears there when it is complete, and not before.

    fields:      name -> field, in the order of the values of a sample.
    page_size:   bytes, a power of two from 2 MiB; a sample lies on one page. None: 2 MiB, more when a sample needs it.
    num_workers: processes that encode; 1 encodes in this one, less than 1 means one per core. The bytes of the file
                 do not depend on it.
    """

    def __init__(self, path: str | Path, fields: dict[str, Field], page_size: int | None = None, num_workers: int = 1):
        self.path, self.fields, self.page_size = Path(path), dict(fields), page_size
        self.num_workers = num_workers if num_workers >= 1 else os.cpu_count() or 1
        self.rows = np.empty(0, np.int64)  # the data set's rows in the file, once written
        self.skipped: list[str] = []  # a sentence per sample left out
        if not fields:
            raise ConfigError(f"{path}: a .beton file needs at least one field")
        for name in fields:
            if not (name.isascii() and name.isprintable() and 1 <= len(name) <= layout.NAME_BYTES):
                raise ConfigError(f"field name {name!r}: a name has 1 to {layout.NAME_BYTES} ASCII characters")
        if page_size is not None and not (_is_power(page_size) and layout.MIN_PAGE <= page_size <= layout.MAX_PAGE):
            raise ConfigError(f"page_size is {page_size}; it is a power of two from {layout.MIN_PAGE} (2 MiB) to 2 GiB")

    def from_indexed_dataset(
        self,
        dataset: Any,
        indices: Sequence[int] | None = None,
        progress: bool = True,
        skip_bad: bool = False,
        shuffle_indices: bool = False,
        seed: int = 0,
    ) -> Path:
        """Write dataset[i] for i in indices (all of them when None), in that order, and return the path.

        A sample that cannot be encoded stops the writing with its name; skip_bad leaves unreadable images out, and
        `skipped` then tells which. progress: a bar with rate and time left, where there is a terminal.
        shuffle_indices: in an order drawn from `seed`; the caller's indices stay as they are.
        """
        rows = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
        if shuffle_indices:
            from data_loading.kernel.rng import checked_seed, permutation  # loads the compiler: only where it is used

            rows = rows[permutation(len(rows), checked_seed(seed), 0, "write/shuffle")]
        if not len(rows):
            raise BetonError(f"{self.path}: the data set is empty; there is nothing to write")
        return self._write(encode_all(dataset, self.fields, rows, self.num_workers), rows, progress, skip_bad)

    def from_samples(self, samples: Iterable[tuple[str, Any]], progress: bool = True, skip_bad: bool = False) -> Path:
        """Write what an iterable of unknown length yields, once: pairs of a name for errors and the tuple of values.

        num_workers threads encode. Else as from_indexed_dataset.
        """
        return self._write(encode_stream(samples, self.fields, self.num_workers), None, progress, skip_bad)

    def _write(
        self, items: Iterator[Encoded | Failed], rows: np.ndarray | None, progress: bool, skip_bad: bool
    ) -> Path:
        """rows: the data set's row of each item; None where their number is not known."""
        total = None if rows is None else len(rows)
        self.skipped = []
        if self.path.is_dir():
            raise BetonError(f"{self.path} is a folder; name a file to write")
        output = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            output = Output(self.path, self.fields, total or UNKNOWN, self.page_size or layout.MIN_PAGE)
            written = []
            bar = tqdm(total=total, desc=self.path.name, unit="sample", disable=None if progress else True)
            with closing(items), bar:
                for row, item in zip(itertools.count() if rows is None else rows, items, strict=rows is not None):
                    bar.update()
                    if isinstance(item, Failed):
                        self._leave_out(item, skip_bad, len(written), total)
                        continue
                    output = self._fitting(output, item)
                    output.add(item)
                    written.append(row)
            if not written and not self.skipped:
                raise BetonError(f"{self.path}: there are no samples; there is nothing to write")
            if not written:
                raise BetonError(f"{self.path}: no sample can be read of {len(self.skipped)}; first {self.skipped[0]}")
            output.finish()
        except OSError as error:
            raise BetonError(f"{self.path} cannot be written: {error.strerror or error}") from error
        finally:
            if output is not None:
                output.discard()
        self.rows = np.array(written, np.int64)
        return self.path

    def _leave_out(self, item: Failed, skip_bad: bool, count: int, total: int | None) -> None:
        if skip_bad and item.unreadable:
            self.skipped.append(item.message)
            return
        cure = "mend or remove it, or leave it out: --skip-bad of massrl data write or pretrain (skip_bad=True)"
        kind, end = (DecodeError, f"; {cure}") if item.unreadable else (BetonError, "")
        of = "" if total is None else f" of {total}"
        error = kind(f"{item.message} (after {count}{of} samples){end}")
        raise error from RuntimeError(f"\n{item.details}")  # for --debug: the place in the data set's own code

    def _fitting(self, output: Output, item: Encoded) -> Output:
        """The output, copied to larger pages when the sample does not fit and the page size was left to us."""
        if item.size <= output.page_size:
            return output
        page = 1 << (item.size - 1).bit_length()
        if self.page_size is not None or page > layout.MAX_PAGE:
            raise BetonError(
                f"{self.path}: a sample has {item.size} bytes, a page {output.page_size}; "
                f"choose a larger page_size, a max_resolution, or write_mode jpg"
            )
        larger = Output(self.path, self.fields, len(output.records), page)
        try:
            for old in output.samples():
                larger.add(old)
        except BaseException:
            larger.discard()
            raise
        output.discard()
        return larger


def _is_power(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
