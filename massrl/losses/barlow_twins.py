"""Barlow Twins: bring the cross-correlation matrix of the embeddings of two views to the identity."""

from __future__ import annotations

from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def barlow_twins(z1: Tensor, z2: Tensor, lambd: float = 5e-3, scale: float = 1.0, eps: float = 1e-5) -> Tensor:
    """Barlow Twins, arXiv:2103.03230, eq. 1 and 2:  scale (sum_i (1 - C_ii)^2 + lambd sum_{i != j} C_ij^2).

    C_ij = mean over b of z1[b, i] z2[b, j], after each channel of z1 and z2 is standardised over the batch:
    z <- (z - mean) / sqrt(var + eps), with the biased variance (1/B). The paper has eps = 0; the default is BatchNorm's
    eps, as in the authors' code, so that a constant channel does not give 0/0.

    z1, z2: (B, D) float, embeddings of two views of the global batch; not normalised.
    Returns a scalar: the sum over channels (not their mean). Gradient flows to z1 and z2.
    """
    z1, z2 = ((z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() for z in (z1, z2))  # (B, D) each
    C = z1.T @ z2 / len(z1)  # (D, D)
    on = (1 - C.diagonal()).square().sum()
    off = C.square().fill_diagonal_(0).sum()
    return scale * (on + lambd * off)
