"""kNN accuracy: classify a test image by its nearest training images, weighted by similarity.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978, sec. 3.4;
k and tau as in DINO, arXiv:2104.14294.
    score(c) = sum over the k nearest i with label c of exp(s_i / tau)      s = cosine of centred features
Differs from the paper: the mean of the training features is subtracted from all features before the cosine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data_loading.errors import ConfigError
from massrl.evaluation.protocol import Protocol, check_pair, register


@register(name="knn")
@dataclass(frozen=True)
class KNN(Protocol):
    """The class that the k nearest training images vote for, by cosine of centred features.

    k: number of neighbours, at most the number of training samples.  tau: temperature of the weights exp(s / tau).
    A tie between classes goes to the lower class.
    """

    name: ClassVar[str] = "knn"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DINO (arXiv:2104.14294), with features centred by their training mean"
    k: int = 20
    tau: float = 0.07

    def __post_init__(self) -> None:
        if self.k < 1 or self.tau <= 0:
            raise ConfigError(f"k is {self.k} and tau is {self.tau}; k must be at least 1 and tau above 0")

    def predict(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
        """Predicted labels (M,) int64 of test_x (M, F) float32, from training features x (N, F) with labels y (N,)."""
        classes, inverse = np.unique(y, return_inverse=True)
        codes = torch.from_numpy(inverse)
        votes = []
        for similarity, near in neighbours(x, test_x, self.k):
            # subtract the largest similarity: exp() cannot overflow for small tau, and the winner is unchanged
            weight = ((similarity - similarity[:, :1]) / self.tau).exp()  # (m, k)
            score = torch.zeros(len(near), len(classes), dtype=weight.dtype)  # (m, C)
            votes.append(score.scatter_add_(1, codes[near], weight).argmax(1))
        return classes[torch.cat(votes).numpy()]

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Share of the test samples that are classified correctly, in 0..1.

        x (N, F), test_x (M, F) float32 features; y (N,), test_y (M,) int64 labels. Raises ConfigError when they do not
        fit.
        """
        check_pair(x, y, test_x, test_y)
        return float((self.predict(x, y, test_x) == test_y).mean())


def neighbours(x: np.ndarray, test_x: np.ndarray, k: int, chunk: int = 1024) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield, for chunks of m rows of test_x (M, F), the k nearest rows of x (N, F) by cosine of centred features.

    Yields (similarity (m, k) float32, row index into x (m, k) int64), nearest first; k is at most N.
    """
    mean = x.mean(0, dtype=np.float64).astype(np.float32)
    bank = F.normalize(torch.from_numpy(x - mean), dim=1)  # (N, F)
    query = F.normalize(torch.from_numpy(test_x - mean), dim=1)  # (M, F)
    for part in query.split(chunk):
        yield (part @ bank.T).topk(min(k, len(bank)), dim=1)
