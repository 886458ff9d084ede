"""References of DINO: loops over images and pairs of views."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import dino, dino_pairs


def cross_entropy(online: Tensor, target: Tensor, centre: Tensor) -> Tensor:
    """Cross-entropy of one image from logits (K,), with tau = 0.1 and tau_target = 0.07."""
    weights = [torch.exp((t - c) / 0.07) for t, c in zip(target, centre, strict=True)]
    powers = [torch.exp(o / 0.1) for o in online]
    logs = [torch.log(power / sum(powers)) for power in powers]
    return -sum(w / sum(weights) * log for w, log in zip(weights, logs, strict=True))


def pair(online: Tensor, target: Tensor, centre: Tensor, q: int, v: int) -> Tensor:
    """Mean over images of the cross-entropy of target view q and online view v."""
    B = online.shape[1]
    return sum(cross_entropy(online[v, b], target[q, b], centre) for b in range(B)) / B


def reference(online: Tensor, target: Tensor, centre: Tensor) -> Tensor:
    """Eq. 3, for online (V, B, K), target (G, B, K), centre (K,); a scalar."""
    pairs = [(q, v) for q in range(len(target)) for v in range(len(online)) if v != q]
    return sum(pair(online, target, centre, q, v) for q, v in pairs) / len(pairs)


def weighted(online: Tensor, target: Tensor, centre: Tensor) -> Tensor:
    """The sum over all pairs with weights 1, 2, 3, ...; a plain mean would not notice exchanged pairs."""
    G, V = len(target), len(online)
    return sum((1 + q * V + v) * pair(online, target, centre, q, v) for q in range(G) for v in range(V))


def sample(g: torch.Generator, B: int, D: int) -> dict[str, Tensor]:
    """Logits of 4 views, of which the target sees 2, over D prototypes."""
    return {"online": 0.3 * normal(g, 4, B, D), "target": 0.3 * normal(g, 2, B, D), "centre": 0.1 * normal(g, D)}


Case(
    name="dino",
    source="DINO, arXiv:2104.14294, eq. 3",
    equation="mean over q, v != q of -sum_k P_q^k log softmax(s_v/tau)^k, P_q = softmax((t_q - c)/tau_t)",
    sample=sample,
    loss=dino,
    reference=reference,
    learns=("online",),
    split={"online": 1, "target": 1},
    over_ranks="mean",
)
Case(
    name="dino_pairs",
    source="DINO, arXiv:2104.14294, eq. 3",
    equation="the terms of dino for each q and v, here summed with the weights 1, 2, 3, ...",
    sample=sample,
    loss=lambda online, target, centre: (
        dino_pairs(online, target, centre) * torch.arange(1, 9, dtype=online.dtype).view(2, 4)
    ).sum(),
    reference=weighted,
    learns=("online",),
    split={"online": 1, "target": 1},
    over_ranks="mean",
)
