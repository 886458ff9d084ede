"""Loader: batches of views from a .beton file, made by threads a few batches ahead.

Threads take chunks of samples, not batches; every number is keyed by (seed, epoch, sample), so the number of threads
changes nothing but the speed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import torch

from data_loading import sources
from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.decode import JPEG, PNG, decode_jpeg, decode_png
from data_loading.errors import BetonError, ConfigError, DecodeError
from data_loading.jit import is_cold
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from data_loading.plan import Drawer, Plan
from data_loading.render import Renderer
from data_loading.rng import checked_seed, permutation
from data_loading.views import ViewSet
from data_loading.views import get as get_views

log = logging.getLogger(__name__)
ORDERS = ("random", "sequential")
DTYPES = {"float32": torch.float32, "uint8": torch.uint8}


class Loader:
    """Iterate over the batches of one epoch; each time anew draws the next epoch's order and views.

    path:        a .beton file, or a folder of images (written once to the cache).
    batch_size:  images per process.
    views:       a view set, its name, or a strategy's; size overrides the side of its global views.
    num_workers: threads; the batches are the same for any number.
    seed:        of the order and the views; order_seed and view_seed set them apart; None draws one.
    order:       "random" or "sequential".  drop_last: leave out the last partial batch (default for random order);
                 else the last sample is repeated to fill it and marked in `Batch.valid`.
    indices:     rows of the file to use.
    dtype:       "float32", normalised by mean and std (in 0..1, ImageNet's unless said), or "uint8".
    batches_ahead: how many batches are prepared before they are asked for.
    with_plan:   put the Plan into each batch.
    rank, world_size: this process's part of each global batch; taken from torch.distributed when that is running.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int,
        views: str | ViewSet = "eval",
        *,
        size: int | None = None,
        num_workers: int = 2,
        seed: int | None = 0,
        order_seed: int | None = None,
        view_seed: int | None = None,
        order: str = "random",
        drop_last: bool | None = None,
        indices: Sequence[int] | None = None,
        dtype: str = "float32",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        batches_ahead: int = 3,
        with_plan: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ):
        if order not in ORDERS:
            raise ConfigError(f"order is {order!r}; choose one of {', '.join(ORDERS)}")
        if dtype not in DTYPES:
            raise ConfigError(f"dtype is {dtype!r}; choose one of {', '.join(DTYPES)}")
        for what, value in (("batch_size", batch_size), ("num_workers", num_workers), ("batches_ahead", batches_ahead)):
            if value < 1:
                raise ConfigError(f"{what} is {value}; it must be at least 1")
        self.reader = Reader(sources.as_beton(path))
        self.view_set = get_views(views, size)
        self.batch_size, self.num_workers, self.order, self.batches_ahead = (
            batch_size,
            num_workers,
            order,
            batches_ahead,
        )
        run_seed = checked_seed(seed)
        self.order_seed = run_seed if order_seed is None else checked_seed(order_seed, "order_seed")
        self.view_seed = run_seed if view_seed is None else checked_seed(view_seed, "view_seed")
        self.rank, self.world_size = _place(rank, world_size)
        self.drop_last = (order == "random") if drop_last is None else drop_last
        self.with_plan = with_plan
        self.dtype = DTYPES[dtype]
        self._normalize = Normalize(mean, std) if dtype == "float32" else None
        self.indices = _rows(self.reader, indices)
        self.epoch = 0
        if not len(self):
            raise ConfigError(
                f"{path}: {len(self.indices)} samples are fewer than one global batch of {self.global_batch}; "
                f"choose a smaller batch_size"
            )
        self._table = self.reader.image_table()
        rows = self._table.height[self.indices], self._table.width[self.indices]
        self._largest = int(max(side.max() for side in rows))
        self._most_pixels = int((rows[0].astype(np.int64) * rows[1]).max())
        self._labels = self.reader.column("label") if "label" in self.reader.fields else None
        self._drawer = Drawer(self.view_set, self.view_seed)
        self._local = threading.local()

    @property
    def global_batch(self) -> int:
        return self.batch_size * self.world_size

    @property
    def sampler(self) -> Loader:
        """Lightning calls `sampler.set_epoch` before each epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = checked_seed(epoch, "epoch")

    def __len__(self) -> int:
        """Batches of a full epoch, the same on every rank."""
        n = len(self.indices)
        return n // self.global_batch if self.drop_last else -(-n // self.global_batch)

    def __iter__(self) -> Iterator[Batch]:
        return self._batches()

    def _batches(self) -> Iterator[Batch]:
        epoch = self.epoch  # read at the first next(): Lightning sets the epoch after it has called iter()
        self.epoch = epoch + 1
        rows, valid = self._epoch_rows(epoch)
        if is_cold():
            log.warning("compiling the kernels of data_loading; this happens once and takes about half a minute")
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="data_loading")
        ahead: deque[tuple[Batch, list[Future]]] = deque()
        try:
            for i in range(len(self)):
                while len(ahead) < self.batches_ahead + 1 and i + len(ahead) < len(self):
                    part = slice((i + len(ahead)) * self.batch_size, (i + len(ahead) + 1) * self.batch_size)
                    ahead.append(self._submit(pool, epoch, rows[part], valid[part]))
                batch, chunks = ahead.popleft()
                wait(chunks)
                for chunk in chunks:
                    chunk.result()  # an error in a thread is raised here
                yield batch
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _epoch_rows(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """This rank's rows of the file, batch after batch, and which of them are not repeats."""
        rows = self.indices
        if self.order == "random":
            rows = rows[permutation(len(rows), self.order_seed, epoch)]
        total = len(self) * self.global_batch
        valid = np.arange(total) < len(rows)
        rows = np.concatenate([rows, np.repeat(rows[-1:], max(total - len(rows), 0))])[:total]
        mine = slice(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        return tuple(x.reshape(len(self), self.global_batch)[:, mine].reshape(-1) for x in (rows, valid))

    def _submit(self, pool: ThreadPoolExecutor, epoch: int, rows: np.ndarray, valid: np.ndarray):
        height, width = self._table.height[rows].astype(np.int64), self._table.width[rows].astype(np.int64)
        plan = self._drawer(epoch, rows, height, width)
        blocks = [
            torch.empty((len(members), len(rows), 3, side, side), dtype=self.dtype)
            for side, members in self.view_set.groups()
        ]
        batch = Batch(
            blocks=blocks,
            labels=torch.from_numpy(self._labels[rows]) if self._labels is not None else torch.full((len(rows),), -1),
            index=torch.from_numpy(rows.copy()),
            valid=torch.from_numpy(valid.copy()),
            view_set=self.view_set,
            fields={},
            plan=plan if self.with_plan else None,
        )
        outs = [block.numpy() for block in blocks]
        step = max(1, min(256, -(-len(rows) // (2 * self.num_workers))))
        starts = range(0, len(rows), step)
        return batch, [pool.submit(self._chunk, rows[s : s + step], plan, s, outs) for s in starts]

    def _chunk(self, rows: np.ndarray, plan: Plan, first: int, outs: list[np.ndarray]) -> None:
        """Render samples first, first + 1, ... of a batch: raw ones in one call, encoded ones one by one."""
        if not hasattr(self._local, "renderer"):
            self._local.renderer = Renderer(self.view_set, self._largest, self._normalize)
            self._local.buffer = None  # decoded pixels; made when the first encoded sample is met
        table, render = self._table, self._local.renderer
        height, width = table.height[rows].astype(np.int64), table.width[rows].astype(np.int64)
        encoded = (table.mode[rows] == JPEG) | (table.mode[rows] == PNG)
        if not encoded.any():
            render(self.reader.memory, table.ptr[rows], height, width, plan, first, outs)
            return
        for i, row in enumerate(rows):
            one = slice(i, i + 1)
            if encoded[i]:
                pixels, start = self._decode(int(row), height[i], width[i]), np.zeros(1, np.int64)
            else:
                pixels, start = self.reader.memory, table.ptr[row : row + 1]
            render(pixels, start, height[one], width[one], plan, first + i, outs)

    def _decode(self, row: int, height: int, width: int) -> np.ndarray:
        """Sample `row`'s pixels as uint8 (H * W * 3,), in this thread's buffer where the decoder can use it."""
        if self._local.buffer is None:
            self._local.buffer = np.empty(3 * self._most_pixels, np.uint8)
        start = int(self._table.ptr[row])
        stored = self.reader.memory[start : start + int(self._table.size[row])]
        try:
            decode = decode_jpeg if self._table.mode[row] == JPEG else decode_png
            image = decode(stored, self._local.buffer)
        except DecodeError as error:
            raise DecodeError(f"{self.reader.path}: sample {row}: {error}") from None
        if image.shape[:2] != (height, width):
            raise BetonError(
                f"{self.reader.path}: sample {row}: the image is {image.shape[1]} x {image.shape[0]}, "
                f"the file's table says {width} x {height}; write the file again"
            )
        pixels = image.reshape(-1)
        pixels.flags.writeable = False  # as the file's own memory: numba compiles `render` for one of the two only
        return pixels


def _rows(reader: Reader, indices: Sequence[int] | None) -> np.ndarray:
    if indices is None:
        return np.arange(len(reader))
    rows = np.asarray(indices, np.int64).reshape(-1)
    if rows.size and not (0 <= rows.min() and rows.max() < len(reader)):
        raise ConfigError(
            f"{reader.path}: indices run from {rows.min()} to {rows.max()}, the file has {len(reader)} rows"
        )
    return rows


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    if world_size is None:
        world_size = torch.distributed.get_world_size() if running else 1
    if rank is None:
        rank = torch.distributed.get_rank() if running and world_size > 1 else 0
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank is {rank}; with world_size {world_size} it must lie from 0 to {world_size - 1}")
    return rank, world_size
