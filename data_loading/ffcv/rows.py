"""Rows: batches of fields without images, in the order in which data_loading.Loader would have the same rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.loading.order import batch_positions, chosen_rows, epoch_order

log = logging.getLogger(__name__)


class Rows:
    """Iterate over the batches of one epoch; each iteration is the next epoch.

    names: the fields to read.  may_be_empty: allow fewer rows than a batch.  The other arguments are those of
    data_loading.Loader. ConfigError where there are fewer rows than a batch.
    """

    def __init__(
        self,
        reader: Reader,
        names: Sequence[str],
        batch_size: int,
        order: str,
        order_seed: int,
        indices: Sequence[int] | np.ndarray | None,
        drop_last: bool,
        rank_and_world_size: tuple[int, int],
        may_be_empty: bool = False,
    ):
        self.reader, self.names, self.batch_size, self.order_seed = reader, list(names), int(batch_size), order_seed
        self.indices, self.drop_last, self.rank_and_world_size = (
            chosen_rows(reader, indices),
            drop_last,
            rank_and_world_size,
        )
        self.epoch = 0
        if order == "quasi_random":
            log.warning("%s: QUASI_RANDOM goes by the pages of images; without images the order is RANDOM", reader.path)
        self.order = "random" if order == "quasi_random" else order
        if self.batch_size < 1 or not (len(self) or may_be_empty):
            raise ConfigError(
                f"{reader.path}: batch_size is {batch_size} and there are {len(self.indices)} samples; a batch needs "
                f"from 1 to all of them"
            )

    def __len__(self) -> int:
        """Batches of an epoch, equal on all ranks."""
        n, whole = len(self.indices), self.batch_size * self.rank_and_world_size[1]
        return n // whole if self.drop_last else -(-n // whole)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be this epoch, from 0."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        order = epoch_order(self.order, self.indices, None, self.order_seed, self.epoch, 1)
        self.epoch += 1
        for i in range(len(self)):
            position, valid = batch_positions(i, len(order), self.batch_size, *self.rank_and_world_size)
            rows = order[position]
            values = {name: self.reader.values(name, rows) for name in self.names}
            tensors = {n: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for n, v in values.items()}
            yield Batch([], torch.empty(0), torch.from_numpy(rows), torch.from_numpy(valid), fields=tensors)
