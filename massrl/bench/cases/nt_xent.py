"""Reference of NT-Xent: loops over pairs of views."""

from __future__ import annotations

import torch
from torch import Tensor

from massrl.bench.cases.base import Case, normal
from massrl.losses import nt_xent


def reference(z: Tensor) -> Tensor:
    """Eq. 1 with tau = 0.2, for z (V, B, D); a scalar."""
    V, B, _ = z.shape
    flat = [z[v, b] / z[v, b].norm() for v in range(V) for b in range(B)]
    terms = []
    for i in range(V * B):
        for j in range(V * B):
            if i != j and i % B == j % B:
                denominator = sum(torch.exp(flat[i] @ flat[k] / 0.2) for k in range(V * B) if k != i)
                terms.append(-torch.log(torch.exp(flat[i] @ flat[j] / 0.2) / denominator))
    return sum(terms) / len(terms)


for views in (2, 3):
    Case(
        name="nt_xent" if views == 2 else "nt_xent, 3 views",
        source="SimCLR, arXiv:2002.05709, eq. 1",
        equation="l_ij = -log exp(s_ij/tau) / sum_{k != i} exp(s_ik/tau), s = cosine; mean over (i, j)",
        sample=lambda g, B, D, V=views: {"z": normal(g, V, B, D)},
        loss=lambda z: nt_xent(z, tau=0.2),
        reference=reference,
        learns=("z",),
        split={"z": 1},
    )
