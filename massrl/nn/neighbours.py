"""Nearest neighbours of features: the vote that the online kNN and a run's validation share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def knn_vote(
    features: Tensor, bank: Tensor, labels: Tensor, excluded: Tensor, k: int = 20, tau: float = 0.07
) -> Tensor:
    """The class (M,) int64 that the k nearest rows of the bank vote for, each with the weight exp(cosine / tau).

    Wu et al., arXiv:1805.01978, sec. 3.4: the vote of the protocol `knn` (`massrl.evaluation.knn`).

    Args:
        features: (M, F) float32, of any norm, the rows to classify.
        bank: (N, F) float32, of any norm.
        labels: (N,) int64, of the bank.
        excluded: (M, N) bool, True where a row of the bank must not vote: other views of the image itself.
        k: neighbours; at most N are taken.
        tau: temperature of the votes.
    """
    similarity = F.normalize(features, dim=1) @ F.normalize(bank, dim=1).T  # (M, N)
    top, at = similarity.masked_fill(excluded, -torch.inf).topk(min(k, len(bank)), dim=1)  # (M, k)
    # Relative to the nearest, so that a small tau does not overflow; exp(-inf) = 0: an excluded row has no vote.
    weights = torch.exp((top - top[:, :1].clamp(min=-1)) / tau)
    known, codes = torch.unique(labels, return_inverse=True)  # labels may be as large as 2^63
    votes = torch.zeros(len(features), len(known), device=features.device)
    return known[votes.scatter_add_(1, codes[at], weights).argmax(1)]
