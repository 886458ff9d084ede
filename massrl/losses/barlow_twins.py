"""The loss of Barlow Twins: the cross-correlation of two views is brought to the identity."""

from __future__ import annotations

from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def barlow_twins(z1: Tensor, z2: Tensor, lambd: float = 5e-3, scale: float = 1.0, eps: float = 1e-5) -> Tensor:
    """Barlow Twins, arXiv:2103.03230, eq. 1 and 2:  scale (sum_i (1 - C_ii)^2 + lambd sum_{i != j} C_ij^2).

    C_ij = mean over b of z1[b, i] z2[b, j], where z1 and z2 are standardised per channel over the batch: the mean is
    taken away, and the deviation sqrt(var + eps) divided out, var with 1/B. eq. 2 has eps = 0; the authors' code has
    that of BatchNorm, which keeps a channel that is the same for all images from giving 0/0.
    z1, z2: (B, D), any norm, of the whole global batch. A sum over channels, not a mean. Gradient flows to both.
    """
    z1, z2 = ((z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() for z in (z1, z2))  # (B, D) each
    C = z1.T @ z2 / len(z1)  # (D, D)
    on = (1 - C.diagonal()).square().sum()
    off = C.square().fill_diagonal_(0).sum()
    return scale * (on + lambd * off)
