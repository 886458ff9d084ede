"""Loader: batches of views from a .beton file, made by threads a few batches ahead.

Threads take chunks of samples, not batches; every number is keyed by (seed, epoch, sample), so the number of threads
changes nothing but the speed.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_loading import sources
from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.kernel.jit import is_cold
from data_loading.kernel.rng import checked_seed
from data_loading.loading import state
from data_loading.loading.assembly import Epoch, Maker, Making
from data_loading.loading.batch_memory import DTYPES, Blocks
from data_loading.loading.cache import Cache, choose
from data_loading.loading.order import ORDERS, batch_positions, chosen_rows, epoch_order, place
from data_loading.loading.threads import Job, Team
from data_loading.loading.worker import Worker
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet
from data_loading.views.view_sets import get as get_views

log = logging.getLogger(__name__)
CHUNK = 1 << 18  # pixels that a thread takes at a time: one photograph, 256 images of 32 x 32
CHOICES = {"order": ORDERS, "dtype": tuple(DTYPES), "on_error": ("raise", "skip"), "decode_scale": ("full", "half")}


class Loader:
    """Iterate over the batches of one epoch; each time anew draws the next epoch's order and views.

    path:        a .beton file, a pattern as "train-*.beton" or a list of such files, which act as one, or a folder of
                 images (written once to the cache).
    batch_size:  images per process.
    views:       a view set, its name, a strategy's, or a list of these; size overrides the side of its global views.
    num_workers: threads; the batches are the same for any number.
    seed:        of the order and the views; order_seed and view_seed set them apart; None draws one.
    order:       "random", "sequential", or "quasi_random": from a pool of `pool_pages` pages of the file.
    drop_last:   leave out the last partial batch (default unless the order is sequential); else the last sample is
                 repeated to fill it and marked in `Batch.valid`.
    indices:     rows of the file to use.
    dtype:       "float32", "float16" or "bfloat16", normalised by mean and std (in 0..1, ImageNet's unless said), or
                 "uint8".
    cache:       "page", "process" (at most cache_gib GiB) or "shared"; None asks FFCV_DEFAULT_CACHE_PROCESS.
    on_error:    "raise", or "skip": a sample whose image or other field does not decode is replaced by the one before
                 it in the order, marked in `Batch.valid`, and told in `loader.bad`.
    decode_scale: "half" decodes a JPEG at half its size where no view gets smaller than its crop by that.
    fast_dct:    libjpeg's quick DCT, off by about a level.
    batches_ahead: how many batches are prepared before they are asked for.
    pin_memory:  page-locked batches; None: when CUDA is available.
    with_plan:   put the Plan into each batch.
    rank, world_size: this process's part of each global batch; asked of torch.distributed when the epoch begins.
    """

    def __init__(
        self,
        path: str | Path | Sequence[str | Path],
        batch_size: int,
        views: str | dict | list | ViewSet = "eval",
        *,
        size: int | None = None,
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
        self._arguments = {name: value for name, value in locals().items() if name != "self"}
        for what, choices in CHOICES.items():
            if self._arguments[what] not in choices:
                raise ConfigError(f"{what} is {self._arguments[what]!r}; choose one of {', '.join(choices)}")
        for what in ("batch_size", "num_workers", "batches_ahead", "pool_pages"):
            if self._arguments[what] < 1 or self._arguments[what] != int(self._arguments[what]):
                raise ConfigError(f"{what} is {self._arguments[what]}; it is a whole number from 1 on")
        if pin_memory and not torch.cuda.is_available():
            raise ConfigError("pin_memory needs a CUDA device and none is there; leave it out")
        self.view_set = get_views(views, size)
        self.num_workers, self.order, self.pool_pages, self.dtype = num_workers, order, pool_pages, dtype
        run_seed = checked_seed(seed)
        self.order_seed = run_seed if order_seed is None else checked_seed(order_seed, "order_seed")
        self.view_seed = run_seed if view_seed is None else checked_seed(view_seed, "view_seed")
        self.drop_last = (order != "sequential") if drop_last is None else drop_last
        self.batches_ahead = batches_ahead
        self._given_place, self._given_batch_size = (rank, world_size), int(batch_size)
        self._global_batch: int | None = None  # as a state has fixed it
        self._next = self._at = (0, 0)  # epoch and batch: where the next iteration begins; what has been handed out
        self.reader = Reader(sources.as_beton(path))
        self.indices = chosen_rows(self.reader, indices)
        self._check(self.place[1])
        self._maker = Maker(
            reader=self.reader,
            rows=self.indices,
            view_set=self.view_set,
            drawer=Drawer(self.view_set, self.view_seed),
            normalize=Normalize(mean, std) if dtype != "uint8" else None,
            dtype=dtype,
            with_plan=with_plan,
            skip=on_error == "skip",
            half=decode_scale == "half",
            fast_dct=fast_dct,
            pinned=torch.cuda.is_available() if pin_memory is None else pin_memory,
        )
        self._spare: list[Worker] = []  # of the last epoch
        self._cache = Cache(self.reader, choose(cache), cache_gib)

    @property
    def place(self) -> tuple[int, int]:
        """(rank, world size) of this process."""
        return place(*self._given_place)

    @property
    def batch_size(self) -> int:
        """Images per process."""
        if self._global_batch is None:
            return self._given_batch_size
        return state.batch_size(self._global_batch, self.place[1])

    @property
    def global_batch(self) -> int:
        return self._global_batch or self._given_batch_size * self.place[1]

    @property
    def bad(self) -> dict[int, str]:
        """Rows that could not be read, and why; filled with on_error="skip" only."""
        return self._maker.bad

    @property
    def epoch(self) -> int:
        """The epoch that the next iteration draws."""
        return self._next[0]

    @property
    def sampler(self) -> Loader:
        """Lightning calls `sampler.set_epoch` before each epoch."""
        return self

    batch_sampler = None  # Lightning asks for it where there is a sampler

    def set_epoch(self, epoch: int) -> None:
        """Draw this epoch next; from its start, unless a state has been loaded that stands within it."""
        epoch = checked_seed(epoch, "epoch")
        if epoch != self._next[0]:
            self._next = self._at = (epoch, 0)

    def __len__(self) -> int:
        """Batches of a full epoch, the same on every rank."""
        n = len(self.indices)
        return n // self.global_batch if self.drop_last else -(-n // self.global_batch)

    def filter(self, field: str, predicate: Callable[[Any], Any]) -> Loader:
        """A loader of those rows whose values satisfy `predicate`, which takes all values of a field together.

        Of numbers (n,), arrays (n, ...), or a list of n bytes or JSON values it makes bool (n,).
        """
        chosen = np.asarray(predicate(self.reader.values(field, self.indices)))
        if chosen.dtype != bool or chosen.shape != self.indices.shape:
            raise ConfigError(
                f"filter: the predicate gave {chosen.dtype} {chosen.shape} for the {len(self.indices)} values of "
                f"{field!r} together; it must give one bool for each"
            )
        seeds = {"order_seed": self.order_seed, "view_seed": self.view_seed}
        return Loader(**{**self._arguments, **seeds, "indices": self.indices[chosen]})

    def state_dict(self) -> dict[str, Any]:
        """Where this loader stands: `batch` batches of `epoch` have been handed out. Plain values."""
        return {**self._identity(), "epoch": self._at[0], "batch": self._at[1]}

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """The next iteration goes on from there, with the seeds and the global batch of the state."""
        found = state.checked(values, self._identity(), self.reader.path)
        self.order_seed, self.view_seed = found["order_seed"], found["view_seed"]
        self._maker.drawer = Drawer(self.view_set, self.view_seed)
        self._global_batch = found["global_batch"]
        self._next = self._at = (found["epoch"], found["batch"])

    def __iter__(self) -> Iterator[Batch]:
        return self._batches()

    def _batches(self) -> Iterator[Batch]:
        # All is read at the first next(): Lightning calls iter() before it sets the epoch and joins the processes.
        (number, first), total, rank, world_size = self._next, len(self), *self.place
        self._check(world_size)
        self._next = number + 1, 0
        if self.batch_size != self._given_batch_size and first:
            log.warning("batches of %d images per process: the state fixed the global batch", self.batch_size)
        if os.environ.get("WORLD_SIZE", "1") != "1" and self._given_place[1] is None and world_size == 1:
            log.warning("WORLD_SIZE is set, but torch.distributed does not run: this process takes whole batches")
        if is_cold():
            log.warning("compiling the kernels of data_loading; this happens once and takes about half a minute")
        part = partial(
            batch_positions, n=len(self.indices), batch_size=self.batch_size, rank=rank, world_size=world_size
        )
        workers = [self._spare.pop() if self._spare else Worker(self._maker) for _ in range(self.num_workers)]
        team, ahead = Team(workers), deque()
        epoch = self._epoch(number, [part(i)[0] for i in range(first, total)] if self._cache.kind == "process" else [])
        try:
            team.start()
            submitted = first
            for i in range(first, total):
                while submitted < total and submitted <= i + self.batches_ahead:
                    epoch.stored.fetch(submitted - first)
                    ahead.append(team.submit(self._job(epoch, submitted - first, *part(submitted))))
                    submitted += 1
                making = ahead.popleft().result()
                epoch.stored.release(i - first)
                batch = making.batch
                if making.replaced:
                    self._maker.describe(batch, making.rows)
                del making
                self._at = (number, i + 1) if i + 1 < total else (number + 1, 0)  # before the yield: a state is
                yield batch  # asked for while the consumer holds the batch
                del batch  # now the consumer's alone: once that lets go, its memory is used again
        finally:
            team.close()
            for job in ahead:
                job.drop()
            epoch.stored.close()
            self._spare += workers

    def _epoch(self, number: int, positions: list[np.ndarray]) -> Epoch:
        """What the batches of an epoch share; positions of all of them where the cache plans ahead."""
        table = self.reader.image_table()
        page = table.ptr[self.indices] // self.reader.page_size if self.order == "quasi_random" else None
        order = epoch_order(self.order, self.indices, page, self.order_seed, number, self.pool_pages)
        ptr = table.ptr[order[np.stack(positions)]] if positions else None
        return Epoch(number, order, self._cache.epoch(ptr, self.batches_ahead), self._blocks)

    def _job(self, epoch: Epoch, k: int, position: np.ndarray, valid: np.ndarray) -> Job:
        """A batch, cut into chunks."""
        n = len(position)
        step = max(1, min(int(CHUNK / self._maker.mean_pixels), -(-n // self.num_workers)))

        def chunk(making: Making, worker: Worker, c: int) -> None:
            worker(making, c * step, min((c + 1) * step, n))

        return Job(-(-n // step), partial(self._maker.begin, epoch, k, position, valid), chunk)

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
    def _blocks(self) -> Blocks:
        """Memory of batches, kept from epoch to epoch: short epochs would spend their time on touching it first."""
        return Blocks(self.dtype, self.batches_ahead + 2, self._maker.pinned)

    @cached_property
    def _fingerprint(self) -> str:
        order = f"quasi_random({self.pool_pages})" if self.order == "quasi_random" else self.order
        kept = "" if self.drop_last else " with its last batch"
        rows = None if self._arguments["indices"] is None else self.indices
        return state.fingerprint(self.reader, rows, order + kept)

    def _check(self, world_size: int) -> None:
        if not len(self):
            raise ConfigError(
                f"{self.reader.path}: {len(self.indices)} samples are fewer than one global batch of "
                f"{self.global_batch}; choose a smaller batch_size"
            )
        drawn = [name for name in ("order_seed", "view_seed") if self._arguments[name] is None]
        if world_size > 1 and self._arguments["seed"] is None and drawn and self._global_batch is None:
            raise ConfigError(f"seed is None and {world_size} processes would each draw their own; give one")
