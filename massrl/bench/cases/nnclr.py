"""Reference of NNCLR: loops over views and images, with nearest neighbours by Euclidean distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import nearest_neighbour, nnclr


def sample(g: torch.Generator, B: int, D: int, V: int) -> dict[str, Tensor]:
    """Embeddings and predictions (V, B, D), and a queue of 7 rows."""
    shapes = {"z": (V, B, D), "p": (V, B, D), "queue": (7, D)}
    return {name: torch.randn(*shape, dtype=torch.float64, generator=g) for name, shape in shapes.items()}


def unit(x: Tensor) -> Tensor:
    """x (D,) divided by its Euclidean norm."""
    return x / x.norm()


def reference(z: Tensor, p: Tensor, queue: Tensor, symmetric: bool) -> Tensor:
    """Eq. 3 and 4 with tau = 0.2, for z, p (V, B, D) and queue (Q, D); a scalar."""
    V, B, _ = z.shape
    terms = []
    for v in range(V):
        near = []
        for i in range(B):
            distances = [math.dist(unit(z[v, i]).tolist(), unit(q).tolist()) for q in queue]
            near.append(unit(queue[distances.index(min(distances))]))
        for w in range(V):
            for i in range(B):
                if v == w:
                    continue
                right = torch.exp(near[i] @ unit(p[w, i]) / 0.2)
                loss = -torch.log(right / sum(torch.exp(near[i] @ unit(p[w, k]) / 0.2) for k in range(B)))
                if symmetric:
                    loss = loss - torch.log(right / sum(torch.exp(near[k] @ unit(p[w, i]) / 0.2) for k in range(B)))
                terms.append(loss)
    return sum(terms) / len(terms)


for special, views, both in (("", 2, False), (", symmetric", 2, True), (", 3 views", 3, False)):
    Case(
        name=f"nnclr{special}",
        source="NNCLR, arXiv:2104.14548, eq. 3 and 4",
        equation="n_i = argmin_{q in Q} |z_i - q|; -log exp(n_i.p_i/tau) / sum_k exp(n_i.p_k/tau), mean over i, views"
        + "; plus -log exp(n_i.p_i/tau) / sum_k exp(n_k.p_i/tau)" * both,
        sample=lambda g, B, D, V=views: sample(g, B, D, V),
        loss=lambda z, p, queue, both=both: nnclr(nearest_neighbour(z, queue), p, tau=0.2, symmetric=both),
        reference=lambda z, p, queue, both=both: reference(z, p, queue, both),
        learns=("p",),
        split={"z": 1, "p": 1},
    )
