"""SupCon, one anchor and one positive at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import supcon


def reference(z: Tensor, labels: Tensor) -> Tensor:
    V, B, _ = z.shape
    flat = [z[v, b] / z[v, b].norm() for v in range(V) for b in range(B)]
    of = [int(labels[b]) for _ in range(V) for b in range(B)]
    terms = []
    for i in range(V * B):
        others = [a for a in range(V * B) if a != i]
        denominator = sum(torch.exp((flat[i] * flat[a]).sum() / 0.2) for a in others)
        positives = [p for p in others if of[p] == of[i]]
        if positives:
            logs = [torch.log(torch.exp((flat[i] * flat[p]).sum() / 0.2) / denominator) for p in positives]
            terms.append(-sum(logs) / len(positives))
    return sum(terms) / len(terms)


for views in (2, 1):
    Case(
        name="supcon" if views == 2 else "supcon, 1 view",
        source="SupCon, arXiv:2004.11362, eq. 2",
        equation="-1/|P(i)| sum_{p in P(i)} log exp(z_i.z_p/tau) / sum_{a != i} exp(z_i.z_a/tau), mean over i",
        draw=lambda g, B, D, V=views: {"z": normal(g, V, B, D), "labels": torch.arange(B) // 2 % 3},
        loss=lambda z, labels: supcon(z, labels, tau=0.2),
        reference=reference,
        learns=("z",),
        split={"z": 1, "labels": 0},
    )
