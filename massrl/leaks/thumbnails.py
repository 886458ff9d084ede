"""Read every image of .beton files once: a grey thumbnail for comparisons, and a digest of its exact pixels."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_loading.beton.reader import Reader
from data_loading.errors import BetonError

SIDE = 32  # pixels of a thumbnail's side
COARSE = 8  # pixels of a side where candidates are searched
DIGEST = 16  # bytes
CHUNK = 64  # images per task of the thread pool


@dataclass(frozen=True)
class Thumbnails:
    """grey: uint8 (N, SIDE, SIDE).  digest: (N,) of DIGEST bytes, equal only for images of equal size and pixels."""

    grey: np.ndarray
    digest: np.ndarray

    def __len__(self) -> int:
        return len(self.grey)


def read(file: Path | list[Path], num_workers: int = 0, progress: bool = True) -> Thumbnails:
    """Thumbnails of all images of .beton files; one decoded image per thread is held at a time.

    The whole image is reduced to a square by area averaging, so its sides may have any ratio.
    num_workers: threads; 0 means one per core.  progress: show a progress bar if stderr is a terminal.
    BetonError without samples, DecodeError for an image that cannot be decoded.
    """
    workers = num_workers or os.cpu_count() or 1
    with Reader(file) as reader:
        if not len(reader):
            raise BetonError(f"{reader.path} has no samples to compare")
        grey = np.empty((len(reader), SIDE, SIDE), np.uint8)
        digest = np.empty(len(reader), f"V{DIGEST}")
        name = reader.image_field

        def fill(start: int) -> int:
            rows = range(start, min(start + CHUNK, len(reader)))
            for row in rows:
                image = reader.value(name, row)
                grey[row], digest[row] = thumbnail(image), _digest(image)
            return len(rows)

        starts = range(0, len(reader), CHUNK)
        with tqdm(total=len(reader), desc=f"read {reader.path.name}", unit="image", disable=_quiet(progress)) as bar:
            for done in in_threads(fill, starts, workers):
                bar.update(done)
    return Thumbnails(grey, digest)


def _quiet(progress: bool) -> bool | None:
    """tqdm's `disable`: None shows a bar on a terminal only."""
    return None if progress else True


def in_threads(function, items, workers: int) -> Iterator:
    """function(item) of every item in order, by `workers` threads, with at most 4 results per thread waiting."""
    pending: deque[Future] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # after an error, tasks that have not begun are dropped
            for future in pending:
                future.cancel()


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB of any size -> grey uint8 (SIDE, SIDE)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return grey if grey.shape == (SIDE, SIDE) else cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _digest(image: np.ndarray) -> np.void:
    size = np.array(image.shape, "<i8").tobytes()
    return np.void(hashlib.blake2b(size + image.tobytes(), digest_size=DIGEST).digest())


def coarse(grey: np.ndarray) -> np.ndarray:
    """Thumbnails (N, SIDE, SIDE) -> float32 (N, COARSE * COARSE): means of blocks, minus their mean, of length 1.

    The dot product of two rows is the correlation of the reduced images; an image of one shade gives zeros.
    """
    block = SIDE // COARSE
    means = grey.reshape(len(grey), COARSE, block, COARSE, block).mean((2, 4), dtype=np.float32).reshape(len(grey), -1)
    means -= means.mean(1, keepdims=True)
    length = np.linalg.norm(means, axis=1, keepdims=True)
    return np.divide(means, length, out=np.zeros_like(means), where=length > 1e-3)
