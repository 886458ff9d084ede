"""DatasetWriter: samples -> a .beton file that stock FFCV reads too, the same bytes for any number of workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.beton.workers import Encoded, Failed, encode_all
from data_loading.errors import BetonError, ConfigError, DecodeError


class DatasetWriter:
    """Write a data set into `path`; the file appears there when it is complete, and not before.

    fields:      name -> field, in the order of the values of a sample.
    page_size:   bytes, a power of two from 2 MiB; a sample lies on one page. None: 2 MiB, more when a sample needs it.
    num_workers: processes that encode; 1 encodes in this one, less than 1 means one per core.
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
        self, dataset: Any, indices: Sequence[int] | None = None, progress: bool = True, skip_bad: bool = False
    ) -> Path:
        """Write dataset[i] for i in indices (all of them when None), in that order, and return the path.

        A sample that cannot be encoded stops the writing with its name; skip_bad leaves unreadable images out, and
        `skipped` then tells which. progress: a bar with rate and time left, where there is a terminal.
        """
        rows = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
        self.skipped = []
        if not len(rows):
            raise BetonError(f"{self.path}: the data set is empty; there is nothing to write")
        if self.path.is_dir():
            raise BetonError(f"{self.path} is a folder; name a file to write")
        output = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            output = Output(self.path, self.fields, len(rows), self.page_size or layout.MIN_PAGE)
            written = []
            items = encode_all(dataset, self.fields, rows, self.num_workers)
            bar = tqdm(total=len(rows), desc=self.path.name, unit="sample", disable=None if progress else True)
            with closing(items), bar:
                for row, item in zip(rows, items, strict=True):
                    bar.update()
                    if isinstance(item, Failed):
                        self._leave_out(item, skip_bad, len(written), len(rows))
                        continue
                    output = self._fitting(output, item)
                    output.add(item)
                    written.append(row)
            if not written:
                raise BetonError(f"{self.path}: none of the {len(rows)} samples can be read; first {self.skipped[0]}")
            output.finish()
        except OSError as error:
            raise BetonError(f"{self.path} cannot be written: {error.strerror or error}") from error
        finally:
            if output is not None:
                output.discard()
        self.rows = np.array(written, np.int64)
        return self.path

    def _leave_out(self, item: Failed, skip_bad: bool, count: int, total: int) -> None:
        if skip_bad and item.unreadable:
            self.skipped.append(item.message)
            return
        cure = "mend or remove it, or leave unreadable images out with --skip-bad (skip_bad=True)"
        kind, end = (DecodeError, f"; {cure}") if item.unreadable else (BetonError, "")
        error = kind(f"{item.message} (after {count} of {total} samples){end}")
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


class Output:
    """The file while it is written, beside its final place: pages grow, records and table follow at the end."""

    def __init__(self, path: Path, fields: dict[str, Field], num_samples: int, page_size: int):
        self.path, self.page_size = path, page_size
        self.beside = path.with_name(f".{path.name}.{os.getpid()}.{page_size}.tmp")
        type_ids = [field.type_id for field in fields.values()]
        self.descriptors = np.zeros(len(fields), layout.DESCRIPTOR)
        self.descriptors["type_id"], self.descriptors["name"] = type_ids, [name.encode() for name in fields]
        self.records = np.zeros(num_samples, layout.record_dtype(type_ids))
        self.table = np.zeros((num_samples, sum(layout.has_value(t) for t in type_ids)), layout.ALLOCATION)
        self.count = 0
        self.start = self.at = layout.pages_start(self._records_end(num_samples), page_size)
        self.file = open(self.beside, "w+b")  # noqa: SIM115, closed by finish or discard
        self._head(alloc_table_ptr=0)  # 0 marks a file that is not finished
        self.file.seek(self.start)

    def add(self, item: Encoded) -> None:
        """Append a sample; all its values lie on one page."""
        left = -(self.at - self.start) % self.page_size
        if item.size > left:  # a page just filled leaves 0
            self._zeros(left)
        stored = 0
        for column, (record, value) in enumerate(zip(item.records, item.values, strict=True)):
            if value is None:
                self.records[str(column)][self.count] = record
                continue
            self.records[str(column)][self.count] = (*record, self.at)
            self.table[self.count, stored] = (self.count, self.at, len(value))
            self.file.write(value)
            self.at += len(value)
            stored += 1
        self.count += 1

    def samples(self):
        """The samples added so far, read back."""
        columns = self.records.dtype.names
        self.file.flush()
        for i in range(self.count):
            entries = iter(self.table[i])
            item = Encoded([], [])
            for column in columns:
                record, value = self.records[column][i], None
                if record.dtype.names:
                    entry = next(entries)
                    value = os.pread(self.file.fileno(), int(entry["size"]), int(entry["ptr"]))
                    record = record.item()[:-1]
                item.records.append(record)
                item.values.append(value)
            yield item

    def finish(self) -> None:
        """Complete the file and put it in its place."""
        self._zeros(-(self.at - self.start) % self.page_size)
        end = self.at if self.at > self.start else self._records_end(self.count)
        self.file.seek(end)
        self.file.write(self.table[: self.count].tobytes())
        self.file.seek(layout.records_start(len(self.descriptors)))
        self.file.write(self.records[: self.count].tobytes())
        self._head(alloc_table_ptr=end)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.beside.replace(self.path)

    def discard(self) -> None:
        """Remove what has not been finished; nothing to do afterwards."""
        self.file.close()
        self.beside.unlink(missing_ok=True)

    def _head(self, alloc_table_ptr: int) -> None:
        header = (layout.VERSION, len(self.descriptors), self.page_size, self.count, alloc_table_ptr)
        self.file.seek(0)
        self.file.write(np.array(header, layout.HEADER).tobytes() + self.descriptors.tobytes())

    def _zeros(self, size: int) -> None:
        self.file.write(bytes(size))
        self.at += size

    def _records_end(self, num_samples: int) -> int:
        return layout.records_end(len(self.descriptors), num_samples, self.records.dtype.itemsize)


def _is_power(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0
