"""VICReg: views agree, each channel keeps its spread, channels do not repeat each other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


@full_precision
def vicreg_variance(z: Tensor, gamma: float = 1.0, eps: float = 1e-4) -> Tensor:
    """VICReg, arXiv:2105.04906, eq. 1:  v(Z) = 1/D sum_j max(0, gamma - sqrt(Var(z_j) + eps)), variance unbiased.

    z: (B, D), B images of all processes. Gradient flows to z.
    """
    return F.relu(gamma - (z.var(0) + eps).sqrt()).mean()


@full_precision
def vicreg_covariance(z: Tensor) -> Tensor:
    """VICReg, arXiv:2105.04906, eq. 3 and 4:  c(Z) = 1/D sum_{i != j} C_ij^2, C = 1/(B-1) sum_b (z_b - m)(z_b - m)^T.

    z: (B, D), B images of all processes. Gradient flows to z.
    """
    centred = z - z.mean(0)
    C = centred.T @ centred / (len(z) - 1)  # (D, D)
    return (C.square().sum() - C.diagonal().square().sum()) / z.shape[1]


@full_precision
def vicreg(
    z1: Tensor,
    z2: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> Tensor:
    """VICReg, arXiv:2105.04906, eq. 6:  lambda s(Z, Z') + mu (v(Z) + v(Z')) + nu (c(Z) + c(Z')).

    z1, z2: (B, D), not normalised, B images of all processes.  invariance, variance, covariance: lambda, mu, nu;
    s is the mean over images and channels of (z1 - z2)^2, as in the authors' code: eq. 5 sums over channels.
    Gradient flows to both.
    """
    s = F.mse_loss(z1, z2)
    v = vicreg_variance(z1, gamma, eps) + vicreg_variance(z2, gamma, eps)
    c = vicreg_covariance(z1) + vicreg_covariance(z2)
    return invariance * s + variance * v + covariance * c
