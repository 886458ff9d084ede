"""Encode samples in worker processes or threads; results are yielded in the order of the rows.

Rows are cut into groups. Worker w of W encodes groups w, w + W, ... and sends them through its own pipe; the parent
reads the pipes in turn. A full pipe blocks its worker, which bounds memory. A dead worker closes its pipe, so the
parent never waits for it.
"""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import signal
import traceback
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from data_loading.beton.fields import Field
from data_loading.errors import BetonError, DecodeError, UserError

GROUP = 16  # rows per group
MESSAGE_BYTES = 1 << 22  # a group of large images is sent in messages of about this size


@dataclass
class Encoded:
    """An encoded sample, one element per field, as Field.encode returns them."""

    records: list[Any]  # without pointers
    values: list[bytes | None]  # bytes for the page; None if the record stores the value

    @property
    def size(self) -> int:
        """Bytes on the page. An empty value takes one byte, so that every value has its own address."""
        return sum(max(len(value), 1) for value in self.values if value is not None)


@dataclass
class Failed:
    """A sample that could not be encoded."""

    message: str
    unreadable: bool  # its image does not decode, so skip_bad may leave it out
    details: str  # the traceback as text: an exception loses it when sent between processes


def encode(dataset: Any, fields: dict[str, Field], row: int) -> Encoded | Failed:
    """Encode dataset[row], a tuple in the order of `fields`. Exceptions are returned as Failed."""
    try:
        return _encoded(dataset[row], fields, row)
    except Exception as error:
        return _failed(sample_name(dataset, row), error)


def _encoded(values: Any, fields: dict[str, Field], row: int) -> Encoded:
    if not isinstance(values, tuple | list) or len(values) != len(fields):
        found = f"{len(values)} values" if isinstance(values, tuple | list) else f"a single {type(values).__name__}"
        raise BetonError(f"expected a tuple of {len(fields)} values ({', '.join(fields)}), got {found}")
    pairs = [_field(name, field, value, row) for (name, field), value in zip(fields.items(), values, strict=True)]
    return Encoded(*map(list, zip(*pairs, strict=True)))


def _failed(name: str, error: Exception) -> Failed:
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return Failed(f"{name}: {text}", isinstance(error, DecodeError), "".join(traceback.format_exception(error)))


def _field(name: str, field: Field, value: Any, row: int):
    try:
        return field.encode(value, row)
    except BetonError as error:
        raise BetonError(f"field {name!r}: {error}") from None


def sample_name(dataset: Any, row: int) -> str:
    """The sample in error messages: dataset.name(row) if there is such a method (a file's path), else its row."""
    name = getattr(dataset, "name", None)
    return name(row) if callable(name) else f"sample {row}"


def encode_all(
    dataset: Any, fields: dict[str, Field], rows: Sequence[int] | np.ndarray, num_workers: int
) -> Generator[Encoded | Failed]:
    """Encode dataset[row] for each of `rows`, in order; in this process if num_workers is 1, else in worker processes.

    The processes end with the iterator. BetonError if they cannot be started or one of them dies.
    """
    if num_workers == 1 or len(rows) <= GROUP:
        for row in rows:
            yield encode(dataset, fields, int(row))
        return
    num_workers = min(num_workers, -(-len(rows) // GROUP))
    # Not fork: a child forked from a process that has used torch's threads can deadlock.
    context = multiprocessing.get_context("spawn")
    workers = []
    try:
        for w in range(num_workers):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (sender, dataset, fields, rows, w, num_workers)
            process = context.Process(target=_work, args=arguments, name=f"writer {w}", daemon=True)
            workers.append((process, receiver))
            _start(process)
            sender.close()  # the worker now has the only sending end, so its death ends recv() with EOFError
        for start in range(0, len(rows), GROUP):
            left = min(GROUP, len(rows) - start)
            process, pipe = workers[start // GROUP % num_workers]
            while left:
                items = _receive(process, pipe, dataset, rows, start)
                left -= len(items)
                yield from items
    finally:
        for process, pipe in workers:
            pipe.close()
            if process.pid is not None:
                process.terminate()
                process.join()


def encode_stream(
    samples: Iterable[tuple[str, Any]], fields: dict[str, Field], num_workers: int
) -> Generator[Encoded | Failed]:
    """Encode (name, values) pairs with num_workers threads, in order. name: the sample in error messages."""

    def encode_one(numbered: tuple[int, tuple[str, Any]]) -> Encoded | Failed:
        row, (name, values) = numbered
        try:
            return _encoded(values, fields, row)
        except Exception as error:
            return _failed(name, error)

    numbered = enumerate(samples)
    with ThreadPoolExecutor(num_workers) as pool:
        while group := list(itertools.islice(numbered, GROUP * num_workers)):
            yield from pool.map(encode_one, group)


def _start(process: BaseProcess) -> None:
    try:
        process.start()
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise BetonError(f"the data set cannot be sent to worker processes ({error}); use num_workers=1") from error
    except RuntimeError as error:  # raised in a worker that re-runs the main script
        raise BetonError(
            "worker processes import the main script; put its code under `if __name__ == '__main__':`, or use "
            "num_workers=1"
        ) from error


def _receive(
    process: BaseProcess, pipe: Connection, dataset: Any, rows: Sequence[int] | np.ndarray, start: int
) -> list:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join(5)
        first, last = rows[start], rows[min(start + GROUP, len(rows)) - 1]
        raise BetonError(
            f"a worker process died (exit code {process.exitcode}) at one of the samples from "
            f"{sample_name(dataset, int(first))} to {sample_name(dataset, int(last))}; see its output above; "
            f"exit code -9 often means that memory ran out: use fewer num_workers"
        ) from None


def _work(
    pipe: Connection, dataset: Any, fields: dict[str, Field], rows: Sequence[int] | np.ndarray, w: int, num_workers: int
):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which terminates its workers
    try:
        for start in range(w * GROUP, len(rows), num_workers * GROUP):
            items, size = [], 0
            for row in rows[start : start + GROUP]:
                items.append(encode(dataset, fields, int(row)))
                size += getattr(items[-1], "size", 0)
                if size >= MESSAGE_BYTES:
                    pipe.send(items)
                    items, size = [], 0
            if items:
                pipe.send(items)
    except BrokenPipeError:  # the parent stopped
        pass
