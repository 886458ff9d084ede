"""BetonWriter: write samples to a .beton file, byte-identical for any number of workers and readable by stock FFCV."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.beton.output import Output
from data_loading.beton.shards import Shard
from data_loading.beton.workers import Encoded, Failed, encode_all, encode_stream
from data_loading.errors import BetonError, ConfigError, DecodeError

UNKNOWN = 1024  # expected samples for a stream of unknown length; more are fine


class BetonWriter:
    """Write a data set to the file `path`. The file appears there only when it is complete.

    fields:      name -> Field, in the order of the values of a sample. Names are 1 to 16 ASCII characters.
    page_size:   bytes, a power of two from 2 MiB to 2 GiB; each sample is stored on one page. None: 2 MiB, or more if a
                 sample needs it.
    num_workers: processes that encode; 1 encodes in this process, 0 or less means one per core. The bytes of the file
                 do not depend on it.
    After writing, `rows` has the data set's index of each sample in the file, and `skipped` a message for each sample
    left out. ConfigError for an invalid field name or page_size.
    """

    def __init__(self, path: str | Path, fields: dict[str, Field], page_size: int | None = None, num_workers: int = 1):
        self.path, self.fields, self.page_size = Path(path), dict(fields), page_size
        self.num_workers = num_workers if num_workers >= 1 else os.cpu_count() or 1
        self.rows = np.empty(0, np.int64)  # data set index of each sample in the file, int64 (N,)
        self.skipped: list[str] = []  # a message per sample left out
        if not fields:
            raise ConfigError(f"{path}: a .beton file needs at least one field")
        for name in fields:
            if not (name.isascii() and name.isprintable() and 1 <= len(name) <= layout.NAME_BYTES):
                raise ConfigError(f"field name {name!r}: a name must have 1 to {layout.NAME_BYTES} ASCII characters")
        if page_size is not None and not (
            _is_power_of_two(page_size) and layout.MIN_PAGE <= page_size <= layout.MAX_PAGE
        ):
            raise ConfigError(
                f"page_size is {page_size}; it must be a power of two from {layout.MIN_PAGE} (2 MiB) to 2 GiB"
            )

    def from_indexed_dataset(
        self,
        dataset: Any,
        indices: Sequence[int] | np.ndarray | None = None,
        progress: bool = True,
        skip_bad: bool = False,
        shuffle_indices: bool = False,
        seed: int = 0,
        shard: int | None = None,
        shards: int | None = None,
    ) -> Path:
        """Write dataset[i] for each i of `indices` (None: all samples), in that order. Returns the path.

        dataset: anything with len() and [] that returns tuples in the order of the fields.
        progress: show a progress bar if stderr is a terminal.
        skip_bad: leave out samples whose image does not decode, and list them in `skipped`. Otherwise they raise
            DecodeError, as any other sample that cannot be encoded raises BetonError; no file is written then.
        shuffle_indices: write in a random order that depends on `seed` (0 to 2^32 - 1); `indices` is not modified.
        shard, shards: write only part `shard`, from 0 on, of `shards` contiguous parts of these samples, to its own
            file PATH-00003-of-00016.beton, which is returned. It has no samples if skip_bad leaves out all of them.
            data_loading.sources.merge makes of all parts the file that is written without this option.
        """
        part = Shard.checked(shard, shards)
        rows = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
        if shuffle_indices:
            from data_loading.kernel.rng import checked_seed, permutation  # imports numba, so only here

            rows = rows[permutation(len(rows), checked_seed(seed), 0, "write/shuffle")]
        if not len(rows):
            raise BetonError(f"{self.path}: the data set is empty; give at least one sample")
        if part is not None:
            rows = rows[part.rows(len(rows))]
        return self._write(encode_all(dataset, self.fields, rows, self.num_workers), rows, progress, skip_bad, part)

    def from_samples(self, samples: Iterable[tuple[str, Any]], progress: bool = True, skip_bad: bool = False) -> Path:
        """Write an iterable of unknown length, read once, of pairs (name for error messages, tuple of values).

        Encodes with num_workers threads. progress, skip_bad, errors and result: as from_indexed_dataset.
        """
        return self._write(encode_stream(samples, self.fields, self.num_workers), None, progress, skip_bad)

    def _write(
        self,
        items: Generator[Encoded | Failed],
        rows: np.ndarray | None,
        progress: bool,
        skip_bad: bool,
        part: Shard | None = None,
    ) -> Path:
        """Write the encoded items. rows: data set index of each item; None if their number is unknown."""
        path = self.path if part is None else part.path(self.path)
        total = None if rows is None else len(rows)
        self.skipped = []
        if path.is_dir():
            raise BetonError(f"{path} is a folder; give the path of the file to write")
        output = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            output = Output(path, self.fields, total or UNKNOWN, self.page_size or layout.MIN_PAGE)
            written: list[int] = []
            bar = tqdm(total=total, desc=path.name, unit="sample", disable=None if progress else True)
            with closing(items), bar:
                for row, item in zip(itertools.count() if rows is None else rows, items, strict=rows is not None):
                    bar.update()
                    if isinstance(item, Failed):
                        self._leave_out(item, skip_bad, len(written), total)
                        continue
                    output = self._fitting(output, item)
                    output.add(item)
                    written.append(row)
            if not written and part is None:
                self._refuse_empty()
            output.finish()
        except OSError as error:
            raise BetonError(f"{path} cannot be written: {error.strerror or error}") from error
        finally:
            if output is not None:
                output.discard()
        self.rows = np.array(written, np.int64)
        return path

    def _refuse_empty(self) -> None:
        if not self.skipped:
            raise BetonError(f"{self.path}: there are no samples; give at least one")
        raise BetonError(
            f"{self.path}: none of the {len(self.skipped)} samples can be read; the first: {self.skipped[0]}"
        )

    def _leave_out(self, item: Failed, skip_bad: bool, count: int, total: int | None) -> None:
        """Record the failed sample in `skipped` if allowed, else raise. count: samples written so far."""
        if skip_bad and item.unreadable:
            self.skipped.append(item.message)
            return
        cure = "repair or remove it, or leave it out: --skip-bad of massrl data write or pretrain (skip_bad=True)"
        kind, end = (DecodeError, f"; {cure}") if item.unreadable else (BetonError, "")
        of = "" if total is None else f" of {total}"
        error = kind(f"{item.message} (after {count}{of} samples){end}")
        raise error from RuntimeError(f"\n{item.details}")  # --debug shows it: where the data set's code failed

    def _fitting(self, output: Output, item: Encoded) -> Output:
        """`output`, or a copy with larger pages if the sample does not fit and no page_size was given."""
        if item.size <= output.page_size:
            return output
        page = 1 << (item.size - 1).bit_length()
        if self.page_size is not None or page > layout.MAX_PAGE:
            raise BetonError(
                f"{output.path}: a sample has {item.size} bytes, but a page has {output.page_size}; "
                f"choose a larger page_size, a max_resolution, or write_mode jpg"
            )
        larger = Output(output.path, self.fields, len(output.records), page)
        try:
            for sample in output.samples():
                larger.add(sample)
        except BaseException:
            larger.discard()
            raise
        output.discard()
        return larger


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
