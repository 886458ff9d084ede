"""The temporary file that a writer fills and renames to the final path when complete."""

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
    """A .beton file being written: `add` appends samples; `finish` writes records and table and renames the file.

    num_samples: expected number of samples. It fixes where the pages start; if another number was added, `finish` moves
    the pages to where the format wants them.
    """

    def __init__(self, path: Path, fields: dict[str, Field], num_samples: int, page_size: int):
        self.path, self.page_size = path, page_size
        _remove_orphans(path)
        self.temporary = beside(path)
        self.type_ids = type_ids = [field.type_id for field in fields.values()]
        self.descriptors = np.zeros(len(fields), layout.DESCRIPTOR)
        self.descriptors["type_id"], self.descriptors["name"] = type_ids, [name.encode() for name in fields]
        self.descriptors["arguments"] = [field.arguments() for field in fields.values()]
        self.records = np.zeros(num_samples, layout.record_dtype(type_ids))
        self.table = np.zeros((num_samples, sum(layout.has_value(t) for t in type_ids)), layout.ALLOCATION)
        self.count = 0
        # Byte offsets: of the first page, and of the next value.
        self.start = self.at = layout.pages_start(self._records_end(num_samples), page_size)
        self.file = _create_locked(self.temporary)  # closed by finish or discard
        try:
            self._write_header(alloc_table_ptr=0)  # 0 marks an unfinished file
            self.file.seek(self.start)
        except BaseException:
            self.discard()
            raise

    def add(self, item: Encoded) -> None:
        """Append a sample. All of its values are stored on one page, so item.size must not exceed the page size."""
        if self.count == len(self.records):
            self.records, self.table = _doubled(self.records), _doubled(self.table)
        left = -(self.at - self.start) % self.page_size
        if item.size > left:  # left is 0 if the current page is full
            self._write_zeros(left)
        stored = 0
        for column, (record, value) in enumerate(zip(item.records, item.values, strict=True)):
            if value is None:
                self.records[str(column)][self.count] = record
                continue
            self.records[str(column)][self.count] = layout.with_pointer(self.type_ids[column], record, self.at)
            self.table[self.count, stored] = (self.count, self.at, len(value))
            self.file.write(value or b"\0")  # FFCV looks values up by address, so empty values need distinct ones
            self.at += len(value) or 1
            stored += 1
        self.count += 1

    def samples(self) -> Iterator[Encoded]:
        """Read back the samples added so far."""
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
                    record = layout.without_pointer(type_id, record)
                item.records.append(record)
                item.values.append(value)
            yield item

    def finish(self) -> None:
        """Write records, allocation table and header, sync to disk, and rename the file to its final path."""
        self._write_zeros(-(self.at - self.start) % self.page_size)
        self._move_pages(layout.pages_start(self._records_end(self.count), self.page_size))
        end = self.at if self.at > self.start else self._records_end(self.count)
        self.file.truncate(end)
        self.file.seek(end)
        self.file.write(self.table[: self.count].tobytes())
        self.file.seek(layout.records_start(len(self.descriptors)))
        self.file.write(self.records[: self.count].tobytes())
        self.file.write(bytes(max(min(self.start, end) - self.file.tell(), 0)))  # clear what moved pages left behind
        self._write_header(alloc_table_ptr=end)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.temporary.replace(self.path)  # before close() drops the lock: another writer could remove an unlocked file
        self.file.close()

    def _move_pages(self, start: int) -> None:
        """Move the pages so that they begin at byte `start`, and update every pointer."""
        shift, pages = start - self.start, range((self.at - self.start) // self.page_size)
        if not shift:
            return
        self.file.flush()
        for page in pages if shift < 0 else reversed(pages):  # in the order that overwrites no unread page
            at = self.start + page * self.page_size
            os.pwrite(self.file.fileno(), os.pread(self.file.fileno(), self.page_size, at), at + shift)
        wrapped = np.uint64(shift % (1 << 64))  # uint64 addition wraps, so a negative shift subtracts
        self.table["ptr"] += wrapped
        for column, type_id in zip(self.records.dtype.names, self.type_ids, strict=True):
            if layout.has_value(type_id):
                values = self.records[column]
                pointers = values["ptr"] if values.dtype.names else values
                pointers += wrapped
        self.start, self.at = start, self.at + shift

    def discard(self) -> None:
        """Close and remove the temporary file; does nothing after `finish`."""
        with contextlib.suppress(OSError):  # closing writes what is buffered, for which a full disk has no space
            self.file.close()
        self.temporary.unlink(missing_ok=True)

    def _write_header(self, alloc_table_ptr: int) -> None:
        header = (layout.VERSION, len(self.descriptors), self.page_size, self.count, alloc_table_ptr)
        self.file.seek(0)
        self.file.write(np.array(header, layout.HEADER).tobytes() + self.descriptors.tobytes())

    def _write_zeros(self, size: int) -> None:
        self.file.write(bytes(size))
        self.at += size

    def _records_end(self, num_samples: int) -> int:
        return layout.records_end(len(self.descriptors), num_samples, self.records.dtype.itemsize)


def _create_locked(path: Path) -> IO[bytes]:
    """Create a file and lock it. The operating system releases the lock when the process ends, even if killed."""
    while True:
        file = open(path, "x+b")  # noqa: SIM115, the caller closes it
        with contextlib.suppress(OSError):  # a file system without locks: orphans are not removed
            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_same_file(path, file):
            return file
        file.close()  # another writer removed it as an orphan before it was locked


def _remove_orphans(path: Path) -> None:
    """Remove unlocked temporary files for `path` made on this machine: their writers were killed."""
    for orphan in path.parent.glob(f".{glob.escape(path.name)}.{glob.escape(os.uname().nodename)}.*.tmp"):
        with contextlib.suppress(OSError), open(orphan, "r+b") as file:  # already gone, or locked by its writer
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # NFS locks only files open for writing
            if _is_same_file(orphan, file):  # not renamed by a writer that has just finished
                orphan.unlink()


def _is_same_file(path: Path, file: IO[bytes]) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _doubled(array: np.ndarray) -> np.ndarray:
    """A copy of twice the length, padded with zeros."""
    larger = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)  # np.concatenate would drop the padding
    larger[: len(array)] = array
    return larger
