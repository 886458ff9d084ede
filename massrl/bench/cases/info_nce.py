"""References of InfoNCE, with a queue and within a batch: loops over queries."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import info_nce, info_nce_batch


def unit(x: Tensor) -> Tensor:
    """x (D,) divided by its Euclidean norm."""
    return x / (x * x).sum().sqrt()


def with_queue(q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
    """MoCo's eq. 1 with tau = 0.2, for q, k (B, D) and queue (Q, D); a scalar."""
    terms = []
    for i in range(len(q)):
        positive = torch.exp((unit(q[i]) * unit(k[i])).sum() / 0.2)
        negatives = sum(torch.exp((unit(q[i]) * unit(row)).sum() / 0.2) for row in queue)
        terms.append(-torch.log(positive / (positive + negatives)))
    return sum(terms) / len(terms)


def within_batch(q: Tensor, k: Tensor) -> Tensor:
    """MoCo v3's eq. 1 without its factor 2 tau, with tau = 0.5, for q, k (B, D); a scalar."""
    terms = []
    for i in range(len(q)):
        each = [torch.exp((unit(q[i]) * unit(row)).sum() / 0.5) for row in k]
        terms.append(-torch.log(each[i] / sum(each)))
    return sum(terms) / len(terms)


Case(
    name="info_nce",
    source="MoCo, arXiv:1911.05722, eq. 1",
    equation="-log exp(q.k/tau) / (exp(q.k/tau) + sum_j exp(q.queue_j/tau)), mean over q",
    sample=lambda g, B, D: {"q": normal(g, B, D), "k": normal(g, B, D), "queue": normal(g, 7, D)},
    loss=lambda q, k, queue: info_nce(q, k, queue, tau=0.2),
    reference=with_queue,
    learns=("q", "k", "queue"),
    split={"q": 0, "k": 0},
    over_ranks="mean",
)
Case(
    name="info_nce_batch",
    source="MoCo v3, arXiv:2104.02057, eq. 1",
    equation="-log exp(q_i.k_i/tau) / sum_j exp(q_i.k_j/tau), mean over i",
    sample=lambda g, B, D: {"q": normal(g, B, D), "k": normal(g, B, D)},
    loss=lambda q, k: info_nce_batch(q, k, tau=0.5),
    reference=within_batch,
    learns=("q", "k"),
    split={"q": 0, "k": 0},
)
