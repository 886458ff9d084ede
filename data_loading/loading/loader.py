"""Loader: batches of views of the images of .beton files.

This file holds what a loader is asked for and where it is; `epoch_iterator` holds how an epoch's batches are prepared.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, SequentialSampler, get_worker_info

from data_loading import sources
from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.config.arguments import Remembers
from data_loading.config.once import warn_once
from data_loading.errors import ConfigError, one_of
from data_loading.kernel.rng import checked_seed
from data_loading.loading import state
from data_loading.loading.assembly import Assembler
from data_loading.loading.bad_samples import BadSamples
from data_loading.loading.batch_memory import DTYPES, Blocks
from data_loading.loading.cache import Cache, choose
from data_loading.loading.epoch_iterator import EpochIterator
from data_loading.loading.order import ORDERS, chosen_rows, rank_and_world_size
from data_loading.loading.worker import Worker
from data_loading.ops.base import is_number
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from data_loading.views import growing
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet
from data_loading.views.view_sets import get as get_views

MOST_WORKERS = 1024  # threads; a machine of today has fewer cores
MOST_AHEAD = 1024


@dataclass
class Rendering:
    """What the epochs with one size of the views share: what begins their batches, and memory that is used again."""

    assembler: Assembler
    bad: BadSamples
    blocks: Blocks
    idle_workers: list[Worker] = field(default_factory=list)  # of past epochs


class Loader(Remembers, IterableDataset[Batch]):
    """Iterate over the batches of one epoch; each iteration is the next epoch, with another order and other views.

    A batch is a function of (file, views, seeds, epoch, batch number): num_workers, the number of processes and stops
    in between change nothing. Wrong arguments are a ConfigError, a file that cannot be read a BetonError, and an image
    that does not decode a DecodeError when its batch is asked for.

    path:        a .beton file, several as a pattern ("train-*.beton") or a list, which act as one, or a folder of
                 images, which is written once to the cache.
    batch_size:  images per process.
    views:       a view set, its name, a strategy's name, or a list of strategies.
    size:        side of the global views in pixels; None takes the view set's; {0: 160, 12: 192} is 160 and from epoch
                 12 on 192. `view_set` is that of the last epochs; `Batch.view_set` is the batch's own.
    num_workers: threads that prepare batches; 0 prepares each one in the caller, when it is asked for.
    seed:        of the order and the views; None samples one. order_seed and view_seed replace it for one of the two.
    order:       "random", "sequential", or "quasi_random": from a pool of `pool_pages` pages of the file.
    drop_last:   leave out the last partial batch (default unless the order is sequential); else the last sample is
                 repeated to fill it, and marked False in `Batch.valid`.
    indices:     (n,) integers, the rows of the file to use; None takes all.
    dtype:       "float32", "float16" or "bfloat16": values in 0..1, less mean, divided by std (three numbers each);
                 or "uint8", not normalised.
    cache:       "page", "process" (at most cache_gib GiB) or "shared"; None takes what FFCV_DEFAULT_CACHE_PROCESS says.
    on_error:    "raise", or "skip": a sample that cannot be read is replaced by the one before it in the order, marked
                 False in `Batch.valid`, and listed in `loader.bad`.
    decode_scale: "full", or "half": decode a JPEG at half its size where no view gets smaller than its crop by that.
    fast_dct:    decode JPEGs with libjpeg's quick DCT, off by about one level of 255.
    batches_ahead: batches that the threads prepare before they are asked for.
    pin_memory:  page-locked batches; None: where CUDA is available.
    with_plan:   put the sampled numbers of all augmentations into `Batch.plan`.
    rank, world_size: which part of each global batch is this process's; None asks torch.distributed when an epoch
                 begins.

    It is an IterableDataset of torch, too: DataLoader(loader, batch_size=None) hands its batches on.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        batch_size: int,
        views: str | dict | list | ViewSet = "eval",
        *,
        size: int | None | Mapping[int, int] = None,
        num_workers: int = 2,
        seed: int | None = 0,
        order_seed: int | None = None,
        view_seed: int | None = None,
        order: str = "random",
        pool_pages: int = 128,
        drop_last: bool | None = None,
        indices: Sequence[int] | np.ndarray | None = None,
        dtype: str = "float32",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        cache: str | None = None,
        cache_gib: float | None = None,
        on_error: str = "raise",
        decode_scale: str = "full",
        fast_dct: bool = False,
        batches_ahead: int = 3,
        pin_memory: bool | None = None,
        with_plan: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        self.order = one_of("order", order, ORDERS, ConfigError)
        self.dtype = one_of("dtype", dtype, DTYPES, ConfigError)
        skip = one_of("on_error", on_error, ("raise", "skip"), ConfigError) == "skip"
        half = one_of("decode_scale", decode_scale, ("full", "half"), ConfigError) == "half"
        self._given_batch_size = _whole("batch_size", batch_size, 1)
        self.num_workers = _whole("num_workers", num_workers, 0, MOST_WORKERS)
        self.batches_ahead = _whole("batches_ahead", batches_ahead, 1, MOST_AHEAD)
        self.pool_pages = _whole("pool_pages", pool_pages, 1)
        if pin_memory and not torch.cuda.is_available():
            raise ConfigError("pin_memory needs a CUDA device, and this machine has none; leave it out")
        self.sizes = growing.by_epoch(size)
        sets = {side: get_views(views, side) for side in self.sizes.values()}
        self.view_set = sets[growing.last(size)]
        for one in sets.values():
            _check_memory(self._given_batch_size, one, dtype)
        run_seed = checked_seed(seed)
        self.order_seed = run_seed if order_seed is None else checked_seed(order_seed, "order_seed")
        self.view_seed = run_seed if view_seed is None else checked_seed(view_seed, "view_seed")
        self.drop_last = (order != "sequential") if drop_last is None else drop_last
        self._given_rank = rank, world_size
        self._global_batch: int | None = None  # as a loaded state has fixed it
        self._next = 0, 0  # epoch and batch where the next iteration begins
        self._at = 0, 0  # epoch and batch after the last one that was handed out
        self.waited_s = 0.0  # seconds that all calls of next() have taken, which the caller waits for its batches
        self.reader = Reader(sources.as_beton(path))
        if reason := self.reader.why_unlabelled:
            warn_once(f"{self.reader.path}: {reason}")
        self._files = [part.path.absolute() for part in self.reader.parts]  # for copies that are made in another folder
        self.indices = chosen_rows(self.reader, indices)
        self._check(self.rank_and_world_size[1])
        self._normalize = Normalize(mean, std) if dtype != "uint8" else None
        self._reasons: dict[int, str] = {}  # row -> why it could not be read
        self._cache = Cache(self.reader, choose(cache), cache_gib)

        self._view_sets = sets
        self._assembly: dict[str, Any] = {
            "normalize": self._normalize,
            "dtype": dtype,
            "with_plan": with_plan,
            "half": half,
            "fast_dct": fast_dct,
            "pinned": torch.cuda.is_available() if pin_memory is None else pin_memory,
        }
        self._skip = skip
        self._rendering: tuple[int | None, Rendering] | None = None  # of the newest epoch's size
        self.rendering(0)  # what does not fit is refused now

    def __iter__(self) -> EpochIterator:
        if get_worker_info() is not None:
            raise ConfigError(
                "a Loader has threads of its own, and each process of a DataLoader would render all of its batches; "
                "set num_workers=0 in DataLoader(loader, batch_size=None), and num_workers in the Loader"
            )
        return EpochIterator(self)

    def __len__(self) -> int:
        """Batches of a full epoch, equal on all ranks."""
        n = len(self.indices)
        return n // self.global_batch if self.drop_last else -(-n // self.global_batch)

    @property
    def rank_and_world_size(self) -> tuple[int, int]:
        """(rank, world size) of this process, as given, else as torch.distributed has them now."""
        return rank_and_world_size(*self._given_rank)

    place = rank_and_world_size  # its old name

    @property
    def batch_size(self) -> int:
        """Images per process in each batch."""
        if self._global_batch is None:
            return self._given_batch_size
        return state.batch_size(self._global_batch, self.rank_and_world_size[1])

    @property
    def global_batch(self) -> int:
        """Images of all processes together in each batch."""
        return self._global_batch or self._given_batch_size * self.rank_and_world_size[1]

    @property
    def bad(self) -> dict[int, str]:
        """Row of the file -> why it could not be read; filled with on_error="skip" only."""
        return self._reasons

    # ---- where it is

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration, from 0."""
        return self._next[0]

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch, from its start; or from a loaded state's batch, if it is in it."""
        epoch = checked_seed(epoch, "epoch")
        if epoch != self._next[0]:
            self._next = self._at = (epoch, 0)

    @property
    def sampler(self) -> Loader | SequentialSampler:
        """For Lightning, which calls `sampler.set_epoch` before each epoch, and takes only a SequentialSampler to be
        unshuffled."""
        return _Sequential(self) if self.order == "sequential" else self

    batch_sampler = None  # Lightning asks for it where there is a sampler

    def state_dict(self) -> dict[str, Any]:
        """Where this loader is: `batch` batches of `epoch` have been handed out. Plain values, as JSON holds them."""
        return {**self._identity(), "epoch": self._at[0], "batch": self._at[1]}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Continue where `values` was taken, with its seeds and its global batch.

        CheckpointError where it is damaged, or of another file, other rows or another order.
        """
        found = state.checked(values, self._identity(), self.reader.path)
        self.order_seed, self.view_seed = found["order_seed"], found["view_seed"]
        self._rendering = None
        self._global_batch = found["global_batch"]
        self._next = self._at = (found["epoch"], found["batch"])

    def _identity(self) -> dict[str, Any]:
        return {
            "version": state.VERSION,
            "order_seed": self.order_seed,
            "view_seed": self.view_seed,
            "epoch": 0,
            "batch": 0,
            "global_batch": self.global_batch,
            "samples": len(self.indices),
            "fingerprint": self._fingerprint,
        }

    @cached_property
    def _fingerprint(self) -> str:
        order = f"quasi_random({self.pool_pages})" if self.order == "quasi_random" else self.order
        kept = "" if self.drop_last else " with its last batch"
        rows = None if self.given.get("indices") is None else self.indices
        return state.fingerprint(self.reader, rows, order + kept)

    # ---- copies

    def filter(self, field: str, predicate: Callable[[Any], Any]) -> Loader:
        """A loader of those rows whose values satisfy `predicate`, which takes all values of a field at once.

        It gets numbers (n,), arrays (n, ...), or a list of n bytes or JSON values, and returns bool (n,).
        """
        chosen = np.asarray(predicate(self.reader.values(field, self.indices)))
        if chosen.dtype != bool or chosen.shape != self.indices.shape:
            raise ConfigError(
                f"filter: the predicate gave {chosen.dtype} {chosen.shape} for the {len(self.indices)} values of "
                f"{field!r} together; it must give one bool for each"
            )
        return type(self)(**{**self._arguments(), "indices": self.indices[chosen]})

    def _arguments(self) -> dict[str, Any]:
        """The arguments of a loader with the files, order and views of this one.

        What a caller may have changed since, as a list or an array, is replaced by what this loader made of it.
        """
        made: dict[str, Any] = {"order_seed": self.order_seed, "view_seed": self.view_seed, "path": self._files}
        if not isinstance(self.given.get("indices"), range | None):
            made["indices"] = self.indices
        if not isinstance(self.given.get("views", ""), str):
            made["views"] = self.view_set
        if self._normalize is not None:
            made |= {name: getattr(self._normalize, name) for name in ("mean", "std") if name in self.given}
        if isinstance(self.given.get("size"), Mapping):
            made["size"] = self.sizes
        return {**self.given, **made}

    def __getstate__(self) -> dict[str, Any]:
        """Arguments, position and bad samples: a copy opens the files again, and has threads and memory of its own."""
        position = {"_global_batch": self._global_batch, "_next": self._next, "_at": self._at}
        return {"given": self._arguments(), "bad": dict(self.bad), **position}

    def __setstate__(self, values: dict[str, Any]) -> None:
        bad = values.pop("bad")
        self.given = values["given"]  # the check of an open seed asks for it
        self.__init__(**self.given)  # type: ignore[misc]  # the arguments of this very class
        self.__dict__ |= values
        self._reasons |= bad

    # ---- for EpochIterator

    def rendering(self, epoch: int) -> Rendering:
        """What the batches of an epoch are made with; that of another size is dropped, with its memory."""
        side = self.sizes[max(first for first in self.sizes if first <= epoch)]
        if self._rendering is None or self._rendering[0] != side:
            views = self._view_sets[side]
            drawer = Drawer(views, self.view_seed)
            assembler = Assembler(self.reader, self.indices, views, drawer, **self._assembly)
            # Blocks are kept from epoch to epoch: in short epochs their first touch would take most of the time.
            blocks = Blocks(self.dtype, self.batches_ahead + 2, assembler.pinned)
            self._rendering = side, Rendering(assembler, BadSamples(assembler, self._skip, self._reasons), blocks)
        return self._rendering[1]

    def _check(self, world_size: int) -> None:
        """Refuse what only the number of processes shows."""
        if not len(self):
            raise ConfigError(
                f"{self.reader.path}: {len(self.indices)} samples are fewer than one global batch of "
                f"{self.global_batch}; choose a smaller batch_size"
            )
        sampled = [name for name in ("order_seed", "view_seed") if self.given.get(name) is None]
        if world_size > 1 and self.given.get("seed", 0) is None and sampled and self._global_batch is None:
            raise ConfigError(f"seed is None and {world_size} processes would each sample their own; give one")


class _Sequential(SequentialSampler):
    """The order of a sequential loader, whose epochs still differ in their views."""

    def __init__(self, loader: Loader):
        super().__init__(loader.indices)
        self.set_epoch = loader.set_epoch


def _whole(name: str, value: int, least: int, most: int = 2**63 - 1) -> int:
    if not is_number(value) or not least <= value <= most or value != int(value):
        bounds = f"of at least {least}" if most == 2**63 - 1 else f"from {least} to {most:,}"
        raise ConfigError(f"{name} is {value!r}; it must be an integer {bounds}")
    return int(value)


def _check_memory(batch_size: int, view_set: ViewSet, dtype: str) -> None:
    """Refuse a batch that is larger than this machine's memory."""
    pixels = sum(view.size**2 for view in view_set.views)
    needed = batch_size * pixels * 3 * DTYPES[dtype][0].itemsize
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > memory:
        raise ConfigError(
            f"a batch of {batch_size} images in {len(view_set)} views would take {needed / 2**30:,.0f} GiB, and this "
            f"machine has {memory / 2**30:,.0f}; choose a smaller batch_size or size"
        )
