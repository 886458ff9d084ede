"""InfoNCE, with negatives from a queue (MoCo) or from the batch (MoCo v3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def info_nce(q: Tensor, k: Tensor, queue: Tensor, tau: float = 0.07) -> Tensor:
    """MoCo, arXiv:1911.05722, eq. 1:  -log exp(q.k/tau) / (exp(q.k/tau) + sum_j exp(q.queue_j/tau)), mean over images.

    q: (B, D) queries, k: (B, D) the positive key of each query, queue: (Q, D) negatives; float, normalised here.
    Returns a scalar. Gradient flows to all three; the caller detaches keys and queue.
    """
    q, k, queue = (F.normalize(x, dim=1) for x in (q, k, queue))
    q = q / tau
    positive = (q * k).sum(1)  # (B,)
    negatives = (q @ queue.T).logsumexp(1)  # (B,)
    return (torch.logaddexp(positive, negatives) - positive).mean()


@full_precision
def info_nce_batch(q: Tensor, k: Tensor, tau: float = 1.0) -> Tensor:
    """MoCo v3, arXiv:2104.02057, eq. 1, with the other keys of the batch as negatives:
    -log exp(q_i.k_i/tau) / sum_j exp(q_i.k_j/tau), mean over i; without the factor 2 tau of algorithm 1.

    q: (B, D) queries, k: (B, D) keys, gathered over all processes; float, normalised here. Returns a scalar.
    Gradient flows to both; the caller detaches the keys.
    """
    logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / tau  # (B, B)
    return F.cross_entropy(logits, torch.arange(len(q), device=q.device))
