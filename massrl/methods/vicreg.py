"""VICReg: views agree, every channel keeps its variance, and no two channels are correlated.

Bardes, Ponce & LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR 2022,
arXiv:2105.04906.
    L = lambda s(Z1, Z2) + mu [v(Z1) + v(Z2)] + nu [c(Z1) + c(Z2)]     (eq. 6)
    s = mean over b, j of (z1_bj - z2_bj)^2      v(Z) = 1/D sum_j max(0, gamma - sqrt(Var(Z_j) + eps))     (eq. 1)
    c(Z) = 1/D sum_{i != j} Cov(Z)_ij^2     (eq. 4)
Differs from the paper: eq. 5 sums s over channels, its algorithm 1 and all code average, as here. The authors' code
halves v, which is `var_weight: 12.5` here; solo-learn does not. z is not normalised; Var and Cov are over the batch of
all processes. Collapse shows as the logged `variance` -> 2 gamma and z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather
from massrl.losses import feature_std, vicreg_terms
from massrl.methods.base import Method, Needs, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class VICReg(Method):
    """VICReg: views agree, every channel keeps its variance, and no two channels are correlated.

    Args:
        hidden_dim: width of the projector's two hidden layers.
        out_dim: width of the embedding; memory and time of the loss grow with its square.
        sim_weight: lambda, of the distance of the views.
        var_weight: mu, of the variance that is missing; 12.5 is the authors' code.
        cov_weight: nu, of the covariances.
        gamma: deviation that every channel shall have.
    """

    needs = Needs(global_views=2)
    default_views = "vicreg"
    default_optim = OptimConfig(
        name="lars", base_lr=0.2, weight_decay=1e-6, warmup_epochs=10, final_lr=1e-3
    )  # sec. 4.2

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 8192,
        out_dim: int = 8192,
        sim_weight: float = 25.0,
        var_weight: float = 25.0,
        cov_weight: float = 1.0,
        gamma: float = 1.0,
        **common,
    ):
        super().__init__(backbone, **common)
        weights = {"sim_weight": sim_weight, "var_weight": var_weight, "cov_weight": cov_weight, "gamma": gamma}
        for name, value in weights.items():
            if value < 0:
                raise ConfigError(f"{name} is {value}; it must be at least 0")
        self.sim_weight, self.var_weight, self.cov_weight, self.gamma = weights.values()
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_bias=False)

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (2, B, D)
        self.log("z_std", feature_std(z[0]))
        z1, z2 = gather(z)  # (world*B, D) each
        s, v, c = terms = vicreg_terms(z1, z2, self.gamma)
        for name, term in terms._asdict().items():
            self.log(name, term.detach())
        return self.sim_weight * s + self.var_weight * v + self.cov_weight * c  # eq. 6
