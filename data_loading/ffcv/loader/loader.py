"""Loader and OrderOption with FFCV's names and arguments, over data_loading.Loader."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, auto
from inspect import signature
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_loading.beton.reader import Reader as _Reader
from data_loading.errors import ConfigError, near_miss
from data_loading.ffcv.pipeline import PipelineSpec
from data_loading.ffcv.reader import Reader
from data_loading.ffcv.rows import Rows
from data_loading.ffcv.translation import Output, first, translate
from data_loading.kernel.rng import checked_seed
from data_loading.loading.cache import CACHES
from data_loading.loading.loader import Loader as _Loader
from data_loading.loading.order import chosen_rows, rank_and_world_size


class OrderOption(Enum):
    """The order of an epoch's samples."""

    SEQUENTIAL = auto()
    SEQUENTIAL_CONTIGUOUS = auto()
    RANDOM = auto()
    QUASI_RANDOM = auto()


ORDER_TYPE = OrderOption  # FFCV's name for the type of an order
ORDERS = {
    OrderOption.SEQUENTIAL: "sequential",
    OrderOption.SEQUENTIAL_CONTIGUOUS: "sequential",
    OrderOption.RANDOM: "random",
    OrderOption.QUASI_RANDOM: "quasi_random",
}
COMMON = ("distributed", "seed", "indices", "pipelines", "custom_fields", "drop_last", "batches_ahead", "recompile")
STOCK = ("fname", "batch_size", "num_workers", "os_cache", "order", *COMMON, "order_kwargs")
SSL = ("path", "batch_size", "order", "num_workers", "os_cache", *COMMON, "custom_field_mapper")


class Loader:
    """Iterate over the batches of an epoch: tuples of tensors, the file's fields first, then the other pipelines.

    Loader(fname, batch_size, num_workers=-1, os_cache=None, order=OrderOption.SEQUENTIAL, distributed=False, seed=None,
    indices=None, pipelines={}, custom_fields={}, drop_last=True, batches_ahead=3, recompile=False, order_kwargs={}), as
    stock FFCV; with an OrderOption as the third argument (path, batch_size, order, num_workers, os_cache, ...), as
    FFCV-SSL. By keyword also custom_field_mapper={new name: field} and erow's cache_type, 0, 1 or 2, for os_cache; in
    the fourth position erow's cache_type is an int, not a bool. By keyword os_cache is true or false, as 1 or 0, too.

    seed: of the order; None samples one (0 with distributed). Operations with `seed=` sample equal numbers in each run,
    those without it other numbers in each run; neither depends on the order, the batch or num_workers.
    num_workers: threads; below 1: one per core.  os_cache: False reads pages ahead into this process's memory.
    distributed: this process's part of each global batch; torch.distributed must run.
    drop_last: False keeps the last, shorter batch (distributed: filled up with its last sample).
    batches_ahead: 0 is taken as 1, since each batch has memory of its own.
    recompile: accepted; an assignment to an operation, as to output_size, takes effect in the next epoch without it.
    ViewError and ConfigError name what is not offered, and what to use instead. docs/ffcv.md has the table.
    """

    _may_be_empty = False

    def __init__(self, *args: Any, **kwargs: Any):
        self.given = named_arguments(args, kwargs)  # by stock FFCV's names, however they were ordered
        self._begin(**self.given)

    def _begin(
        self,
        fname: str | Path,
        batch_size: int,
        num_workers: int = -1,
        os_cache: bool | None = None,
        order: OrderOption = OrderOption.SEQUENTIAL,
        distributed: bool = False,
        seed: int | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        pipelines: Mapping[str, Any] | None = None,
        custom_fields: Mapping[str, Any] | None = None,
        drop_last: bool = True,
        batches_ahead: int = 3,
        recompile: bool = False,
        order_kwargs: Mapping[str, Any] | None = None,
        custom_field_mapper: Mapping[str, str] | None = None,
        cache_type: int | None = None,
    ) -> None:
        if not isinstance(order, OrderOption):
            raise ConfigError(
                f"order is {order!r}; it is an OrderOption. An order of your own: OrderOption.SEQUENTIAL with `indices`"
            )
        if distributed and order is OrderOption.SEQUENTIAL_CONTIGUOUS:
            raise ConfigError(
                "SEQUENTIAL_CONTIGUOUS is not offered for distributed=True; give each process the `indices` of its "
                "block and distributed=False"
            )
        if distributed and not torch.distributed.is_initialized():
            raise ConfigError("distributed=True, but torch.distributed does not run; call init_process_group first")
        if custom_fields:
            raise ConfigError(
                "custom_fields is not offered; data_loading.Reader(path, custom={name: dtype}) reads such"
            )
        if order_kwargs:
            raise ConfigError(
                "order_kwargs is not offered; data_loading.Loader has pool_pages for order='quasi_random'"
            )
        if not isinstance(custom_field_mapper, Mapping | None):
            raise ConfigError(
                f"custom_field_mapper is {custom_field_mapper!r}; it is a dict of new names and the fields they read"
            )
        for name, number in (("batch_size", batch_size), ("num_workers", num_workers)):
            if not isinstance(number, Integral):
                raise ConfigError(f"{name} is {number!r}; it must be an integer")
        if cache_type not in (None, 0, 1, 2):
            raise ConfigError(f"cache_type is {cache_type!r}; it is 0 (page cache), 1 (process) or 2 (shared memory)")
        self.seed = checked_seed(0 if distributed and seed is None else seed)
        self.fname, self.recompile, self.distributed, self.drop_last = fname, recompile, distributed, drop_last
        self.num_workers = num_workers if num_workers >= 1 else len(os.sched_getaffinity(0))
        self._mapper = dict(custom_field_mapper or {})
        kind = None if os_cache is None else "page" if os_cache else "process"
        self._common = {
            "batch_size": batch_size,
            "order": ORDERS[order],
            "order_seed": self.seed,
            "indices": indices,
            "drop_last": drop_last,
        }
        self._given_rank = (None, None) if distributed else (0, 1)
        self._options = {
            "num_workers": self.num_workers,
            "view_seed": checked_seed(None),
            "pool_pages": 2 * batch_size,
            "cache": kind if cache_type is None else CACHES[cache_type],
            "dtype": "uint8",
            "batches_ahead": batches_ahead or 1,
        }
        self._views: dict | None = None
        self.compile_pipeline({} if pipelines is None else pipelines)

    def compile_pipeline(self, pipelines: Mapping[str, Any]) -> None:
        """Use these pipelines from the next epoch on (erow's fork); the loader is made anew only if views change."""
        if not isinstance(pipelines, Mapping):
            raise ConfigError(f"pipelines is {pipelines!r}; it is a dict of names and lists of operations")
        self.pipelines = {name: _own(spec) for name, spec in pipelines.items()}
        old = getattr(self, "_source", None)
        reader = (Reader(self.fname) if old is None else self.reader)._reader
        view_set, self._outputs = translate(reader, self.pipelines, self._mapper)
        with_plan = any(output.reads_plan for output in self._outputs)
        views = (view_set and view_set.to_dict(), with_plan, {output.source for output in self._outputs})
        if old is not None and views == self._views:
            return
        self._views = views
        names = [name for name in reader.fields if name in views[2]]
        if self._may_be_empty and not self._fills_a_batch(reader):
            order = {"order": "sequential", "may_be_empty": True}
            self._source = Rows(
                reader, names, **{**self._common, **order}, rank_and_world_size=rank_and_world_size(*self._given_rank)
            )
        elif view_set is None:
            self._source = Rows(
                reader, names, **self._common, rank_and_world_size=rank_and_world_size(*self._given_rank)
            )
        else:
            given = dict(zip(("rank", "world_size"), self._given_rank, strict=True))
            self._source = _Loader(
                self.fname, views=view_set, **self._common, **self._options, **given, with_plan=with_plan
            )
        self.reader, self.indices = Reader(self._source.reader), self._source.indices
        if old is not None:
            self._source.set_epoch(old.epoch)

    @property
    def batch_size(self) -> int:
        """Samples per process in each batch."""
        return self._source.batch_size

    @property
    def next_epoch(self) -> int:
        """The epoch of the next iteration, from 0; assign to it to continue there."""
        return self._source.epoch

    @next_epoch.setter
    def next_epoch(self, epoch: int) -> None:
        self._source.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        self.compile_pipeline(self.pipelines)  # what has been assigned to operations counts from here on
        return self._batches(self._source, self._outputs)

    def _batches(self, source: _Loader | Rows, outputs: list[Output]) -> Iterator[tuple[Tensor, ...]]:
        epoch = source.epoch
        for batch in source:
            n = int(batch.valid.sum())
            if n < len(batch) and not self.distributed:
                batch = first(batch, n)
            yield tuple(output(source.reader, batch, self._options["view_seed"], epoch) for output in outputs)
            del batch

    def filter(self, field_name: str, condition: Callable[[Any], bool]) -> Loader:
        """A loader of those samples for which `condition` is true; it gets the field's value as its pipeline gives it.

        It has no batches where fewer samples than a batch are left and drop_last=True.
        """
        if field_name not in self.reader.handlers:
            raise ConfigError(
                f"filter: {self.fname} has no field {field_name!r}; it has {', '.join(self.reader.handlers)}"
            )
        only = {name: None for name in (*self.reader.handlers, *self.pipelines) if name != field_name}
        only |= {field_name: self.pipelines[field_name]} if field_name in self.pipelines else {}
        alone = {"order": OrderOption.SEQUENTIAL, "drop_last": False, "distributed": False, "pipelines": only}
        chosen = [bool(condition(one)) for (x,) in self._with(**alone) for one in x]
        indices = self.indices[np.array(chosen, bool)]
        return self._with(seed=self.seed, pipelines=self.pipelines, indices=indices)

    def _fills_a_batch(self, reader: _Reader) -> bool:
        least = self._common["batch_size"] * rank_and_world_size(*self._given_rank)[1] if self.drop_last else 1
        return len(chosen_rows(reader, self._common["indices"])) >= least

    def _with(self, **changed: Any) -> Loader:
        """This loader with other arguments; it may be empty."""
        return _Filtered(**{**self.given, **changed})


class _Filtered(Loader):
    """What a filter leaves, which may be less than a batch."""

    _may_be_empty = True


def _own(spec: Any) -> Any:
    """A pipeline whose list is not the caller's: FFCV, too, leaves out what is appended later."""
    if isinstance(spec, PipelineSpec):
        return PipelineSpec(spec.source, spec.decoder, spec.transforms and list(spec.transforms))
    return list(spec) if isinstance(spec, list) else spec


def named_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by stock FFCV's names; an OrderOption as the third one means FFCV-SSL's order.

    ConfigError for a name that is unknown, missing or given twice.
    """
    names = SSL if len(args) > 2 and isinstance(args[2], OrderOption) else STOCK
    if len(args) > len(names):
        raise ConfigError(f"Loader takes {len(names)} arguments by position, got {len(args)}")
    found = dict(zip(names, args, strict=False))
    known = [name for name in signature(Loader._begin).parameters if name != "self"]
    for name, value in kwargs.items():
        if name in found:
            raise ConfigError(f"Loader got {name!r} twice, by position and by name")
        found[name] = value
    if "path" in found:
        found.setdefault("fname", found.pop("path"))
    for name in found:
        if name not in known:
            raise ConfigError(f"Loader has no argument {name!r}.{near_miss(name, known)} Known: {', '.join(known)}")
    for name in ("fname", "batch_size"):
        if name not in found:
            raise ConfigError(f"Loader needs {name}")
    cache = found.get("os_cache")
    erows = names is STOCK and len(args) > STOCK.index("os_cache")  # whose cache_type is the fourth argument
    if erows and isinstance(cache, Integral) and not isinstance(cache, bool):
        found["cache_type"] = found.pop("os_cache")
    elif cache is not None:
        found["os_cache"] = bool(cache)
    return found
