"""The file while it is written, beside its final place."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.beton.workers import Encoded
from data_loading.config.atomic import beside


class Output:
    """Pages grow, records and table follow at the end, then the file takes its place.

    num_samples: how many are expected. Where another number came, the pages move to where they belong at the end.
    """

    def __init__(self, path: Path, fields: dict[str, Field], num_samples: int, page_size: int):
        self.path, self.page_size = path, page_size
        _remove_orphans(path)
        self.beside = beside(path)
        self.type_ids = type_ids = [field.type_id for field in fields.values()]
        self.descriptors = np.zeros(len(fields), layout.DESCRIPTOR)
        self.descriptors["type_id"], self.descriptors["name"] = type_ids, [name.encode() for name in fields]
        self.descriptors["arguments"] = [field.arguments() for field in fields.values()]
        self.records = np.zeros(num_samples, layout.record_dtype(type_ids))
        self.table = np.zeros((num_samples, sum(layout.has_value(t) for t in type_ids)), layout.ALLOCATION)
        self.count = 0
        self.start = self.at = layout.pages_start(self._records_end(num_samples), page_size)
        self.file = _locked(self.beside)  # closed by finish or discard
        try:
            self._head(alloc_table_ptr=0)  # 0 marks a file that is not finished
            self.file.seek(self.start)
        except BaseException:
            self.discard()
            raise

    def add(self, item: Encoded) -> None:
        """Append a sample; all its values lie on one page."""
        if self.count == len(self.records):
            self.records, self.table = _doubled(self.records), _doubled(self.table)
        left = -(self.at - self.start) % self.page_size
        if item.size > left:  # a page just filled leaves 0
            self._zeros(left)
        stored = 0
        for column, (record, value) in enumerate(zip(item.records, item.values, strict=True)):
            if value is None:
                self.records[str(column)][self.count] = record
                continue
            self.records[str(column)][self.count] = layout.pointed(self.type_ids[column], record, self.at)
            self.table[self.count, stored] = (self.count, self.at, len(value))
            self.file.write(value or b"\0")  # an empty value has an address of its own, which spares FFCV a doubt
            self.at += len(value) or 1
            stored += 1
        self.count += 1

    def samples(self) -> Iterator[Encoded]:
        """The samples added so far, read back."""
        columns = self.records.dtype.names
        self.file.flush()
        for i in range(self.count):
            entries = iter(self.table[i])
            item = Encoded([], [])
            for column, type_id in zip(columns, self.type_ids, strict=True):
                record, value = self.records[column][i], None
                if layout.has_value(type_id):
                    entry = next(entries)
                    value = os.pread(self.file.fileno(), int(entry["size"]), int(entry["ptr"]))
                    record = layout.unpointed(type_id, record)
                item.records.append(record)
                item.values.append(value)
            yield item

    def finish(self) -> None:
        """Complete the file and put it in its place."""
        self._zeros(-(self.at - self.start) % self.page_size)
        self._move(layout.pages_start(self._records_end(self.count), self.page_size))
        end = self.at if self.at > self.start else self._records_end(self.count)
        self.file.truncate(end)
        self.file.seek(end)
        self.file.write(self.table[: self.count].tobytes())
        self.file.seek(layout.records_start(len(self.descriptors)))
        self.file.write(self.records[: self.count].tobytes())
        self.file.write(bytes(max(min(self.start, end) - self.file.tell(), 0)))  # where pages may have lain
        self._head(alloc_table_ptr=end)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.beside.replace(self.path)  # before the lock goes with `close`: else another writer's to remove
        self.file.close()

    def _move(self, start: int) -> None:
        """Let the pages begin at byte `start`, and every pointer follow."""
        shift, pages = start - self.start, range((self.at - self.start) // self.page_size)
        if not shift:
            return
        self.file.flush()
        for page in pages if shift < 0 else reversed(pages):  # what is not yet read is not written over
            at = self.start + page * self.page_size
            os.pwrite(self.file.fileno(), os.pread(self.file.fileno(), self.page_size, at), at + shift)
        wrapped = np.uint64(shift % (1 << 64))  # addition of 64-bit numbers wraps: a negative shift subtracts
        self.table["ptr"] += wrapped
        for column, type_id in zip(self.records.dtype.names, self.type_ids, strict=True):
            if layout.has_value(type_id):
                values = self.records[column]
                place = values["ptr"] if values.dtype.names else values
                place += wrapped
        self.start, self.at = start, self.at + shift

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


def _locked(path: Path) -> IO[bytes]:
    """A new file that this process holds the lock of; the system lets go of it however the process ends."""
    while True:
        file = open(path, "x+b")  # noqa: SIM115, the caller closes it
        with contextlib.suppress(OSError):  # a disk without locks: its orphans stay
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is(path, file):
            return file
        file.close()  # another writer took it for an orphan before it was locked


def _remove_orphans(path: Path) -> None:
    """Remove what writers of `path` on this machine have left that were killed: files whose lock nobody holds."""
    for orphan in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(os.uname().nodename)}.*.tmp"):
        with contextlib.suppress(OSError), open(orphan, "r+b") as file:  # gone, or its writer holds the lock
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # over NFS only on what is open for writing
            if _is(orphan, file):  # and not renamed by a writer that has just finished
                orphan.unlink()


def _is(path: Path, file: IO[bytes]) -> bool:
    """Whether the open file is the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _doubled(array: np.ndarray) -> np.ndarray:
    larger = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)  # np.concatenate would pack the records
    larger[: len(array)] = array
    return larger
