"""Exact nearest neighbours in blocks of queries and of the bank, so that memory does not grow with either.

    cosine:     s = <q, b> / (|q| |b|)     (0 where a norm is 0)
    euclidean:  s = -|q - b|
Candidates are found by float32 matrix products, block by block; the k + SPARE best are ranked again in float64, each
pair by itself. So the order of neighbours, and what is computed from it, does not depend on the sizes of the blocks. A
neighbour can be missed only where more than SPARE rows are as near as the k-th to within float32's rounding (about 1e-6
of a cosine). Equally near rows: the earlier one is nearer.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from data_loading.errors import ConfigError

DISTANCES = ("cosine", "euclidean")
SPARE = 16  # candidates beyond the k-th, of which the float64 similarity decides
QUERIES, BANK = 1024, 8192  # rows of a block
PAIRS = 2**22  # numbers of float64 that ranking candidates takes at once: 32 MiB, and 16 of float32


def nearest(
    bank: np.ndarray,
    queries: np.ndarray,
    k: int,
    distance: str = "cosine",
    *,
    query_block: int = QUERIES,
    bank_block: int = BANK,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each block of m queries (M, F), the k nearest rows of the bank (N, F), nearest first.

    Yields (similarity (m, k) float64, row of the bank (m, k) int64); k is at most N. The bank may be a memory-mapped
    float32 array: it is read once for each block of queries, `bank_block` rows at a time. Working memory is about
    4 bytes x (query_block x bank_block + 3 F x bank_block + 3 F x query_block) + 64 MiB.
    """
    if distance not in DISTANCES:
        raise ConfigError(f"no distance {distance!r}; it is one of {', '.join(DISTANCES)}")
    k = min(k, len(bank))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    mean = _mean(bank, bank_block) if distance == "euclidean" else None
    for start in range(0, len(queries), query_block):
        block = np.asarray(queries[start : start + query_block], np.float32)
        rows = _candidates(bank, _prepared(block, mean, device), mean, min(k + SPARE, len(bank)), bank_block)
        yield _ranked(bank, block, rows, k, distance)


def _mean(bank: np.ndarray, bank_block: int) -> np.ndarray:
    """Mean (F,) of the rows, float32: distances are the same about any point, and about this one they round least."""
    total = np.zeros(bank.shape[1])
    for start in range(0, len(bank), bank_block):
        total += bank[start : start + bank_block].sum(0, dtype=np.float64)
    return (total / len(bank)).astype(np.float32)


def _prepared(block: np.ndarray, mean: np.ndarray | None, device: str) -> Tensor:
    """Rows (m, F) float32 ready for products: of norm 1 for cosines, less the bank's mean for distances."""
    if mean is not None:
        return torch.from_numpy(block - mean).to(device)
    norm = np.sqrt(np.einsum("if,if->i", block, block, dtype=np.float64))[:, None]  # float64: cannot overflow
    unit = np.divide(block, np.where(norm > 0, norm, 1), out=np.empty_like(block), casting="same_kind")
    return torch.from_numpy(unit).to(device)


def _candidates(bank: np.ndarray, queries: Tensor, mean: np.ndarray | None, count: int, bank_block: int) -> np.ndarray:
    """Rows (m, count) int64 of the bank that are the nearest of each query by float32 products, in rising order."""
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank), bank_block):
        block = _prepared(np.asarray(bank[start : start + bank_block], np.float32), mean, str(queries.device))
        similarity = queries @ block.T  # (m, b)
        if mean is not None:  # -|q - b|^2 / 2 up to |q|^2, which is the same for all rows of a query
            similarity -= block.square().sum(1) / 2
        value, row = _largest(similarity, min(count, len(block)))
        row += start
        if best is not None:
            value, row = torch.cat([best[0], value], 1), torch.cat([best[1], row], 1)
            value, at = _largest(value, min(count, value.shape[1]))
            row = row.gather(1, at)
        best = value, row
    assert best is not None, "the bank has rows"
    return best[1].cpu().numpy()


def _largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row (m, n) and their columns, by rising column; of equal ones the first columns."""
    top, at = values.topk(count, dim=1, sorted=False)
    smallest = top.amin(1, keepdim=True)
    tied = (values >= smallest).sum(1) > count  # topk takes any of the values that are equal to the smallest
    if tied.any():
        at[tied] = values[tied].sort(dim=1, descending=True, stable=True).indices[:, :count]
    at = at.sort(dim=1).values
    return values.gather(1, at), at


def _ranked(
    bank: np.ndarray, queries: np.ndarray, rows: np.ndarray, k: int, distance: str
) -> tuple[np.ndarray, np.ndarray]:
    """(similarity, row), (m, k) each: the k nearest of the candidates `rows` (m, c) in float64, nearest first."""
    similarity = np.empty(rows.shape)
    step = max(1, PAIRS // (rows.shape[1] * bank.shape[1]))
    for start in range(0, len(queries), step):
        part = slice(start, start + step)
        query = queries[part].astype(np.float64)  # (s, F)
        near = bank[rows[part]].astype(np.float64)  # (s, c, F)
        if distance == "euclidean":
            near -= query[:, None]
            similarity[part] = -np.sqrt(np.einsum("scf,scf->sc", near, near))
            continue
        square = np.einsum("sf,sf->s", query, query)[:, None] * np.einsum("scf,scf->sc", near, near)
        similarity[part] = np.einsum("scf,sf->sc", near, query) / np.sqrt(np.where(square > 0, square, 1))
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]  # candidates come by rising row
    return np.take_along_axis(similarity, order, 1), np.take_along_axis(rows, order, 1)
