"""VICReg: invariance between views, variance of each channel, covariance between channels."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from massrl.losses.precision import full_precision


class VICRegTerms(NamedTuple):
    """The terms of VICReg without their weights, scalars: s(Z1, Z2), v(Z1) + v(Z2), c(Z1) + c(Z2)."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


@full_precision
def vicreg_terms(z1: Tensor, z2: Tensor, gamma: float = 1.0, eps: float = 1e-4) -> VICRegTerms:
    """VICReg, arXiv:2105.04906, the three terms of eq. 6 without their weights:
    s = mean over b, j of (z1[b, j] - z2[b, j])^2              (algorithm 1; eq. 5 sums over j)
    v(Z) = mean over j of max(0, gamma - sqrt(Var(Z_j) + eps))     (eq. 1, 2)
    c(Z) = 1/D sum_{i != j} Cov(Z)_ij^2                            (eq. 3, 4)
    Var and Cov are unbiased (1/(B - 1)).

    z1, z2: (B, D) float, embeddings of two views of the global batch; not normalised. Gradient flows to both.
    """

    def spread(z: Tensor) -> tuple[Tensor, Tensor]:
        """(v(Z), c(Z)) of z (B, D)."""
        B, D = z.shape
        z = z - z.mean(0)
        cov = z.T @ z / (B - 1)  # (D, D)
        v = F.relu(gamma - (cov.diagonal() + eps).sqrt()).mean()
        return v, cov.square().fill_diagonal_(0).sum() / D

    (v1, c1), (v2, c2) = spread(z1), spread(z2)
    return VICRegTerms(F.mse_loss(z1, z2), v1 + v2, c1 + c2)


def vicreg(
    z1: Tensor,
    z2: Tensor,
    sim_weight: float = 25.0,
    var_weight: float = 25.0,
    cov_weight: float = 1.0,
    gamma: float = 1.0,
    eps: float = 1e-4,
) -> Tensor:
    """VICReg, arXiv:2105.04906, eq. 6:  sim_weight s + var_weight [v(Z1) + v(Z2)] + cov_weight [c(Z1) + c(Z2)].

    z1, z2: (B, D) float, embeddings of two views of the global batch; not normalised. s, v and c are defined in
    `vicreg_terms`. Returns a scalar; gradient flows to both. The authors' code halves v: set var_weight=12.5 for it.
    """
    terms = vicreg_terms(z1, z2, gamma, eps)
    return sim_weight * terms.invariance + var_weight * terms.variance + cov_weight * terms.covariance
