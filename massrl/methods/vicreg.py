"""VICReg: views agree (invariance), each channel keeps its spread (variance), channels do not repeat each other.

Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR 2022,
arXiv:2105.04906.
    L = lambda s(Z, Z') + mu (v(Z) + v(Z')) + nu (c(Z) + c(Z'))      (eq. 6)
    v(Z) = 1/D sum_j max(0, 1 - sqrt(Var(z_j) + eps))      (eq. 1)      c(Z) = 1/D sum_{i != j} C(Z)_ij^2      (eq. 4)
Differs from the paper: s is the mean over channels, too, as in its pseudocode and the authors' code, where eq. 5 sums.
The authors' code halves v (`variance: 12.5` gives that), and its LARS divides by |g + wd w| in place of |g| + wd |w|.
Collapse shows as z_std -> 0 and as the logged variance term -> 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather
from massrl.losses import feature_std, vicreg, vicreg_covariance, vicreg_variance
from massrl.methods.base import Method, Needs, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class VICReg(Method):
    """VICReg: views agree, each channel keeps its spread, channels do not repeat each other.

    Args:
        hidden_dim: hidden width of the expander (projector), which has three layers.
        out_dim: width of the embedding.
        invariance: weight lambda of the distance of the views.
        variance: weight mu of the hinge on each channel's deviation.
        covariance: weight nu of the squared covariances.
    """

    needs = Needs(global_views=2)
    default_views = "vicreg"
    default_optim = OptimConfig(name="lars", base_lr=0.2, weight_decay=1e-6, warmup_epochs=10, final_lr=0.001)

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 8192,
        out_dim: int = 8192,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        **common,
    ):
        super().__init__(backbone, **common)
        self.weights = {"invariance": invariance, "variance": variance, "covariance": covariance}
        for name, weight in self.weights.items():
            if weight < 0:
                raise ConfigError(f"{name} is {weight}; a weight of the loss is at least 0")
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim)

    def loss(self, batch: Batch) -> Tensor:
        z1, z2 = self.embed(batch.global_views)  # (B, D) each
        self.log("z_std", feature_std(z1))
        z1, z2 = gather(z1), gather(z2)  # variances over the images of all processes
        with torch.no_grad():
            self.log("variance", vicreg_variance(z1) + vicreg_variance(z2))
            self.log("covariance", vicreg_covariance(z1) + vicreg_covariance(z2))
        return vicreg(z1, z2, **self.weights)  # eq. 6
