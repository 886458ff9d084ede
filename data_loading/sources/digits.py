"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, shipped with the package (no download)."""

from __future__ import annotations

import hashlib

import numpy as np
from sklearn.datasets import load_digits

from data_loading.errors import SourceError
from data_loading.sources.base import Source

TRAIN = 1437  # rows 0 to 1436. The test rows are the last 360, not random ones: adjacent rows have the same writer
SPLITS = {"train": slice(0, TRAIN), "test": slice(TRAIN, None), None: slice(None)}


class Digits(Source):
    """Test set of UCI's "Optical Recognition of Handwritten Digits". Values v of 0..16 become round(v * 255 / 16).

    Images are uint8 (8, 8, 3), stored raw.  split: "train" (rows 0 to 1436), "test" (the last 360), None (all).
    """

    def __init__(self, split: str | None = None):
        if split not in SPLITS:
            raise SourceError(f"digits has no split {split!r}; choose train or test")
        digits = load_digits()
        rows = SPLITS[split]
        grey = np.rint(digits.images[rows] * (255 / 16)).astype(np.uint8)  # (N, 8, 8)
        self.images = np.repeat(grey[..., None], 3, axis=3)
        self.labels = digits.target[rows].astype(np.int64)
        self.classes = [str(name) for name in digits.target_names]
        self.paths = [f"digits/{i}" for i in range(len(digits.images))[rows]]

    def image(self, i: int) -> np.ndarray:
        return self.images[i]

    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.tobytes() + np.asarray(self.labels).tobytes()).hexdigest()
