"""Order: the rows of an epoch one after the other, a function of (kind, rows, order seed, epoch) alone.

All ranks share the order: global batch g is a slice of it, and rank r takes the r-th part of the slice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.kernel.jit import jit
from data_loading.kernel.rng import keys, permutation, stream

ORDERS = ("random", "sequential", "quasi_random")
U32 = np.uint32


def epoch_order(
    kind: str, rows: np.ndarray, page: np.ndarray | None, seed: int, epoch: int, pool_pages: int
) -> np.ndarray:
    """The rows of the file (n,) int64 in the order of an epoch, (n,) int64.

    page (n,) int64: the page of each row; read by quasi_random only.  seed, epoch: 32 bits each.

    sequential:    the rows as they are given.
    random:        one permutation of all rows.
    quasi_random:  pages are opened in random order, `pool_pages` of them at a time. Each next row comes from an open
                   page chosen uniformly, in random order within the page; a used-up page makes room for the next one.
                   Once no page is left to open, the rest of the open pages is shuffled as a whole.
    """
    if kind == "sequential":
        return rows
    mixed = permutation(len(rows), seed, epoch)
    if kind == "random":
        return rows[mixed]
    assert page is not None, "quasi_random needs the page of each row"
    used, page_of = np.unique(page, return_inverse=True)
    pages = permutation(len(used), seed, epoch, "order/pages")  # the order in which pages are opened
    opened = np.empty(len(pages), np.int64)
    opened[pages] = np.arange(len(pages))
    turn = opened[page_of]  # of each row: when its page is opened
    grouped = mixed[np.argsort(turn[mixed], kind="stable")]  # page after page, random within each
    counts = np.bincount(turn, minlength=len(pages))
    chosen = _choose_pages(counts, pool_pages, keys(len(rows), U32(seed), U32(epoch), U32(stream("order/pool"))))
    out = np.empty(len(rows), np.int64)
    out[np.argsort(chosen, kind="stable")] = rows[grouped]
    return out


def batch_positions(i: int, n: int, batch_size: int, rank: int, world_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A rank's part of global batch i: positions (B,) int64 in an order of n rows, and which are no repeats (B,) bool.

    Positions beyond the end repeat the last row. batch_size B: per rank.
    """
    at = np.arange(batch_size) + (i * world_size + rank) * batch_size
    return np.minimum(at, n - 1), at < n


def chosen_rows(reader: Reader, indices: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """The rows of the file to use, (n,) int64: `indices`, else all; ConfigError for what are no row numbers."""
    if indices is None:
        return np.arange(len(reader))
    rows = np.asarray(indices).reshape(-1)
    if rows.size and rows.dtype.kind not in "iu":
        cure = "give np.flatnonzero(mask)" if rows.dtype.kind == "b" else "they are integers"
        raise ConfigError(f"{reader.path}: indices are of dtype {rows.dtype}; {cure}")
    rows = rows.astype(np.int64)
    if rows.size and not (0 <= rows.min() and rows.max() < len(reader)):
        raise ConfigError(
            f"{reader.path}: indices run from {rows.min()} to {rows.max()}, the file has {len(reader)} rows"
        )
    return rows


def rank_and_world_size(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """(rank, world size) as given, else torch.distributed's, else (0, 1); ConfigError where they do not fit together.

    The variables RANK and WORLD_SIZE are not read: a launcher may set them for a process that never joins.
    """
    running = torch.distributed.is_available() and torch.distributed.is_initialized()
    if world_size is None:
        world_size = torch.distributed.get_world_size() if running else 1
    if rank is None and world_size > 1 and not running:
        raise ConfigError(
            f"world_size is {world_size}, but torch.distributed does not run; give this process's rank, too"
        )
    if rank is None:
        rank = torch.distributed.get_rank() if running and world_size > 1 else 0
    if not 0 <= rank < world_size:
        raise ConfigError(f"rank is {rank}; with world_size {world_size} it must be from 0 to {world_size - 1}")
    return rank, world_size


def _choose_pages(counts: np.ndarray, pool: int, words: np.ndarray) -> np.ndarray:
    """The page of each next row, (n,) int64, from counts (P,) of rows by page, in the order of opening.

    words (n,) uint64: the random numbers, one a row.
    """
    chosen, left = np.empty(len(words), np.int64), counts.copy()
    n = _choose_from_pool(left, min(pool, len(counts)), words, chosen)
    rest = np.repeat(np.arange(len(left)), left)
    chosen[n:] = rest[np.argsort(words[n:], kind="stable")]
    return chosen


@jit
def _choose_from_pool(left, pool, words, chosen):
    """Choose pages until one is used up and none is left to open; counts `left` down; returns how many."""
    opened = np.arange(pool)
    following = pool
    for t in range(words.size):
        k = np.int64(((words[t] >> np.uint64(32)) * np.uint64(pool)) >> np.uint64(32))
        page = opened[k]
        chosen[t] = page
        left[page] -= 1
        if left[page] == 0:
            if following == left.size:
                return t + 1
            opened[k] = following
            following += 1
    return words.size
