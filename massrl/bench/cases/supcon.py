"""Reference of SupCon: loops over anchors and positives."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case
from massrl.losses import supcon


def sample(g: torch.Generator, B: int, D: int, V: int) -> dict[str, Tensor]:
    """Embeddings (V, B, D), and labels (B,) with classes of one and of several images."""
    labels = torch.tensor([min(i, 3) if i % 2 else 3 for i in range(B)])
    return {"z": torch.randn(V, B, D, dtype=torch.float64, generator=g), "labels": labels}


def reference(z: Tensor, labels: Tensor) -> Tensor:
    """Eq. 2 with tau = 0.2, mean over anchors with a positive; a scalar."""
    V, B, _ = z.shape
    views = [(z[v, b] / z[v, b].norm(), int(labels[b])) for v in range(V) for b in range(B)]
    terms = []
    for i, (anchor, label) in enumerate(views):
        others = [(other, of) for a, (other, of) in enumerate(views) if a != i]
        denominator = sum(torch.exp(anchor @ other / 0.2) for other, _ in others)
        logs = [torch.log(torch.exp(anchor @ other / 0.2) / denominator) for other, of in others if of == label]
        if logs:
            terms.append(-sum(logs) / len(logs))
    return sum(terms) / len(terms)


for views in (2, 3, 1):
    Case(
        name="supcon" if views == 2 else f"supcon, {views} view{'s' * (views > 1)}",
        source="SupCon, arXiv:2004.11362, eq. 2",
        equation="-1/|P(i)| sum_{p in P(i)} log exp(s_ip/tau) / sum_{a != i} exp(s_ia/tau), mean over i with some P(i)",
        sample=lambda g, B, D, V=views: sample(g, B, D, V),
        loss=lambda z, labels: supcon(z, labels, tau=0.2),
        reference=reference,
        learns=("z",),
        split={"z": 1, "labels": 0},
    )
