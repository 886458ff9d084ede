"""Stage 1: for every query the k rows of the bank with the largest dot product: exact, in blocks of bounded memory."""

from __future__ import annotations

import os

import numpy as np
from tqdm import tqdm

from massrl.leaks.thumbnails import in_threads

QUERIES, BANK = 256, 16384  # rows per block: 16 MiB of similarities


def nearest(
    queries: np.ndarray, bank: np.ndarray, k: int, itself: bool = False, num_workers: int = 0, progress: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `bank` (M, D) with the largest dot products with each of `queries` (N, D), both float32.

    itself: query i is row i of the bank, which is not its own neighbour.  num_workers: threads; 0 means one per core.
    Returns rows int64 (N, k'), similarities float32 (N, k'), largest first and equal ones by row; k' is k, or all there
    are. Beside its arguments and results this holds about 50 MB per thread, for any N and M: three blocks of QUERIES x
    BANK float32.
    """
    k = min(k, len(bank) - int(itself))
    rows, similarity = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    if k < 1:
        return rows, similarity

    def search(start: int) -> int:
        part = slice(start, start + QUERIES)
        rows[part], similarity[part] = _search(queries[part], bank, k, start if itself else None)
        return len(queries[part])

    starts = range(0, len(queries), QUERIES)
    with tqdm(total=len(queries), desc="candidates", unit="image", disable=None if progress else True) as bar:
        for done in in_threads(search, starts, num_workers or os.cpu_count() or 1):
            bar.update(done)
    return rows, similarity


def _search(queries: np.ndarray, bank: np.ndarray, k: int, first: int | None) -> tuple[np.ndarray, np.ndarray]:
    """(B, D) queries, of which the first is row `first` of the bank if that is given -> rows, similarities (B, k)."""
    count = len(queries)
    rows, best = np.full((count, k), -1, np.int64), np.full((count, k), -np.inf, np.float32)
    for start in range(0, len(bank), BANK):
        found = queries @ bank[start : start + BANK].T  # (B, block)
        if first is not None:
            own = np.arange(count) + first - start
            inside = (own >= 0) & (own < found.shape[1])
            found[np.flatnonzero(inside), own[inside]] = -np.inf
        if start == 0 and found.shape[1] > k:  # most of the first block would pass the test below
            kth = np.partition(found, -k, axis=1)[:, -k]
            query, column = np.nonzero(found >= kth[:, None])
        else:
            query, column = np.nonzero(found > best[:, -1:])  # later rows lose ties
        if len(query):
            rows, best = _merged(rows, best, query, start + column, found[query, column])
    return rows, best


def _merged(
    rows: np.ndarray, best: np.ndarray, query: np.ndarray, row: np.ndarray, value: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query, from its k so far (B, k) and new hits (n,): sorted by value, equal ones by row."""
    count, k = rows.shape
    all_queries = np.concatenate([np.repeat(np.arange(count), k), query])
    all_rows, all_values = np.concatenate([rows.ravel(), row]), np.concatenate([best.ravel(), value])
    order = np.lexsort((all_rows, -all_values, all_queries))
    first = np.searchsorted(all_queries[order], np.arange(count))  # where each query's hits begin
    kept = order[first[:, None] + np.arange(k)]
    return all_rows[kept], all_values[kept]
