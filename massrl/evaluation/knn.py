"""kNN accuracy: a test image is named by its nearest training images, weighted by similarity.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978, sec. 3.4;
k and tau as in DINO, arXiv:2104.14294.
    score(c) = sum over the k nearest i with label c of exp(s_i / tau)      s = cosine of features less the train mean
Differs from the paper: features are centred by the mean of the training features before the cosine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from data_loading.errors import ConfigError
from massrl.evaluation.protocol import Protocol, check_pair


@dataclass(frozen=True)
class KNN(Protocol):
    """The `knn` protocol; k is cut to the number of training samples, ties go to the lower class."""

    name: ClassVar[str] = "knn"
    version: ClassVar[int] = 1
    k: int = 20
    tau: float = 0.07

    def __post_init__(self):
        if self.k < 1 or self.tau <= 0:
            raise ConfigError(f"k is {self.k} and tau is {self.tau}; k must be at least 1 and tau above 0")

    def predict(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
        """Labels (M,) int64 of test_x (M, F), from the bank x (N, F) with labels y (N,)."""
        classes, codes = np.unique(y, return_inverse=True)
        codes = torch.from_numpy(codes)
        votes = []
        for similarity, near in neighbours(x, test_x, self.k):
            # relative to the nearest: the same winner, and exp() cannot overflow for small tau
            weight = ((similarity - similarity[:, :1]) / self.tau).exp()  # (m, k)
            score = torch.zeros(len(near), len(classes), dtype=weight.dtype)  # (m, C)
            votes.append(score.scatter_add_(1, codes[near], weight).argmax(1))
        return classes[torch.cat(votes).numpy()]

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Share of the M test samples that are named rightly, in 0..1."""
        check_pair(x, y, test_x, test_y)
        return float((self.predict(x, y, test_x) == test_y).mean())


def neighbours(x: np.ndarray, test_x: np.ndarray, k: int, chunk: int = 1024):
    """Yield (similarity (m, k) float32, index (m, k) int64) for chunks of test_x (M, F): nearest in x (N, F) first."""
    mean = x.mean(0, dtype=np.float64).astype(np.float32)
    bank = F.normalize(torch.from_numpy(x - mean), dim=1)  # (N, F)
    query = F.normalize(torch.from_numpy(test_x - mean), dim=1)  # (M, F)
    for part in query.split(chunk):
        yield (part @ bank.T).topk(min(k, len(bank)), dim=1)
