"""Stage 2: how well an image, shifted and scaled, correlates with each of its candidates.

    score(q, c) = max over scales and shifts w of 1/2 NCC(w(q), c) + 1/2 NCC(band w(q), band c)

NCC is the normalised cross-correlation of two windows of WINDOW x WINDOW grey pixels: the candidate's centre, and any
window of the image within REACH pixels of its centre, at each of SCALES. `band` subtracts a wide blur (sigma 2) from a
narrow one (sigma 0.6): it leaves outlines and drops large areas of light and dark, in which pictures of a ship below a
sky agree that have nothing else in common. Resizing and blurs are products with one matrix from each side. So scores
do not change with brightness or contrast, and hardly with colour or compression. Mirrored copies are not searched.

Grey correlation alone is Barz & Denzler's check for ciFAIR (arXiv:1902.00423) without their network. docs/leaks.md has
what each variant finds of their list.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
from tqdm import tqdm

from massrl.leaks.thumbnails import SIDE, in_threads

WINDOW = 24
REACH = 4
SCALES = (26, 28, 30, 32, 34, 37, 40)  # sides that the image is resized to: 0.81 to 1.25
NARROW, WIDE = 0.6, 2.0  # sigmas of the two blurs, pixels
FLAT = 1.0  # grey levels: a window that varies less (standard deviation) is taken to vary as much as that
CERTAIN, LOOK = 0.90, 0.80
BLOCK = 64  # images per task


def scores(
    grey: np.ndarray, train: np.ndarray, rows: np.ndarray, num_workers: int = 0, progress: bool = False
) -> np.ndarray:
    """Scores float32 (N, k) of thumbnails uint8 (N, SIDE, SIDE) with their candidates, in -1..1.

    train: thumbnails uint8 (M, SIDE, SIDE).  rows: of the candidates in `train`, integers (N, k).
    """
    found = np.empty(rows.shape, np.float32)

    def score(start: int) -> int:
        end = min(start + BLOCK, len(grey))
        for i in range(start, end):
            found[i] = _score(grey[i], train[rows[i]])
        return end - start

    starts = range(0, len(grey), BLOCK)
    with tqdm(total=len(grey), desc="compare", unit="image", disable=None if progress else True) as bar:
        for done in in_threads(score, starts, num_workers or os.cpu_count() or 1):
            bar.update(done)
    return found


def _score(image: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE), (k, SIDE, SIDE) uint8 -> (k,) float32."""
    image, candidates = image.astype(np.float32), candidates.astype(np.float32)
    edge = (SIDE - WINDOW) // 2
    centres = tuple(matrix[edge : edge + WINDOW] for matrix in _matrices(SIDE))
    units = [_unit(plane) for plane in _planes(candidates, centres)]  # (k, WINDOW^2) each
    best = np.full(len(candidates), -1, np.float32)
    for side in SCALES:
        plain, band = (
            _correlations(p[0], u) for p, u in zip(_planes(image[None], _matrices(side)), units, strict=True)
        )
        np.maximum(best, (plain + band).max(0) / 2, out=best)
    return best


def _planes(images: np.ndarray, matrices: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Grey images (n, SIDE, SIDE) float32, with `_matrices` from both sides -> the resized images, and their band."""
    plain, narrow, wide = (_both_sides(matrix, images) for matrix in matrices)
    return plain, narrow - wide


def _both_sides(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """matrix @ image @ matrix.T of each of `images` (n, SIDE, SIDE), as two large products."""
    n, side = len(images), len(matrix)
    half = images.reshape(n * SIDE, SIDE) @ matrix.T
    turned = half.reshape(n, SIDE, side).transpose(0, 2, 1).reshape(n * side, SIDE)  # columns become rows
    return (turned @ matrix.T).reshape(n, side, side).transpose(0, 2, 1)


@cache
def _matrices(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices (side, SIDE) float32 that resize a column of pixels, and then also blur it narrowly and widely."""
    ratio = SIDE / side
    at = (np.arange(side)[:, None] + 0.5) * ratio - 0.5
    # a triangle filter, as Pillow's BILINEAR: linear between pixels, and wider where the image is reduced
    resize = _rows_of_sum_1(np.maximum(0, 1 - np.abs(np.arange(SIDE) - at) / max(1, ratio)))
    apart = np.arange(side)[:, None] - np.arange(side)
    # cut at 4 sigma: further weights would be subnormal numbers, which are slow
    blurs = (_rows_of_sum_1(np.exp(-0.5 * (apart / s) ** 2) * (np.abs(apart) <= 4 * s)) for s in (NARROW, WIDE))
    plain, narrow, wide = (m.astype(np.float32) for m in (resize, *(blur @ resize for blur in blurs)))
    return plain, narrow, wide


def _rows_of_sum_1(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(1, keepdims=True)


def _unit(windows: np.ndarray) -> np.ndarray:
    """Windows (k, WINDOW, WINDOW) -> (k, WINDOW^2): minus the mean, of length 1 unless flat."""
    flat = windows.reshape(len(windows), -1)
    flat = flat - flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), FLAT * WINDOW)


def _correlations(plane: np.ndarray, units: np.ndarray) -> np.ndarray:
    """NCC of all windows of `plane` (side, side) near its centre with units (k, WINDOW^2) -> (windows, k)."""
    last = len(plane) - WINDOW  # the last position of a window
    low, high = max(0, last // 2 - REACH), min(last, (last + 1) // 2 + REACH) + 1
    near = np.lib.stride_tricks.sliding_window_view(plane, (WINDOW, WINDOW))[low:high, low:high]
    total, squares = (_sums(values)[low:high, low:high].ravel() for values in (plane, plane * plane))
    length = np.sqrt(np.maximum(squares - total**2 / WINDOW**2, 0))
    products = near.reshape(-1, WINDOW * WINDOW) @ units.T  # units have sum 0: the windows' means drop out
    return products / np.maximum(length, FLAT * WINDOW)[:, None].astype(np.float32)


def _sums(plane: np.ndarray) -> np.ndarray:
    """The sum of every window of `plane` (side, side), float64, by differences of running sums."""
    running = np.zeros((len(plane) + 1, len(plane) + 1))
    np.cumsum(np.cumsum(plane, 0, dtype=np.float64), 1, out=running[1:, 1:])
    rows = running[WINDOW:] - running[:-WINDOW]
    return rows[:, WINDOW:] - rows[:, :-WINDOW]
