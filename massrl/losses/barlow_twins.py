"""Barlow Twins: the cross-correlation of two views shall be the identity."""

from __future__ import annotations

from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def barlow_twins(z1: Tensor, z2: Tensor, lambd: float = 0.0051, scale: float = 1.0, eps: float = 1e-5) -> Tensor:
    """Barlow Twins, arXiv:2103.03230, eq. 1 and 2:  scale (sum_i (1 - C_ii)^2 + lambd sum_i sum_{j != i} C_ij^2),
    C_ij = mean over images of z1_i z2_j, each channel with mean 0 and deviation 1 over the batch.

    z1, z2: (B, D), B images of all processes. eps: added to the (biased) variance, as BatchNorm does in the authors'
    code. Gradient flows to both.
    """
    z1, z2 = ((z - z.mean(0)) / (z.var(0, correction=0) + eps).sqrt() for z in (z1, z2))
    C = z1.T @ z2 / len(z1)  # (D, D)
    diagonal = C.diagonal()
    off_diagonal = C.square().sum() - diagonal.square().sum()
    return scale * ((1 - diagonal).square().sum() + lambd * off_diagonal)
