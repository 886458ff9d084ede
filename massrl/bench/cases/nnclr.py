"""NNCLR, one image at a time, its neighbour found by distance."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import nearest_neighbour, nnclr


def unit(x: Tensor) -> Tensor:
    return x / (x * x).sum().sqrt()


def reference(z: Tensor, p: Tensor, queue: Tensor) -> Tensor:
    terms = []
    for i in range(len(p)):
        distances = [float((unit(z[i]) - unit(row)).square().sum()) for row in queue]
        n = queue[min(range(len(queue)), key=distances.__getitem__)]
        each = [torch.exp((unit(n) * unit(p[k])).sum() / 0.2) for k in range(len(p))]
        terms.append(-torch.log(each[i] / sum(each)))
    return sum(terms) / len(terms)


Case(
    name="nnclr",
    source="NNCLR, arXiv:2104.14548, eq. 2 and 3",
    equation="n_i = argmin_{q in Q} |z_i - q|; -log exp(n_i.p_i/tau) / sum_k exp(n_i.p_k/tau), mean over i",
    draw=lambda g, B, D: {"z": normal(g, B, D), "p": normal(g, B, D), "queue": normal(g, 7, D)},
    loss=lambda z, p, queue: nnclr(p, nearest_neighbour(z, queue), tau=0.2),
    reference=reference,
    learns=("p",),
    split={"z": 0, "p": 0},
)
