"""Barlow Twins: each channel of one view's embedding correlates with itself in the other view, and with no other.

Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, arXiv:2103.03230.
    L = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2     (eq. 1)
    C_ij = sum_b z1_bi z2_bj / sqrt(sum_b z1_bi^2 sum_b z2_bj^2), z centred over the batch     (eq. 2)
Differs from the paper: 1e-5 is added to the variances, as in the authors' code, whose lambda is 0.0051, not 0.005. C is
that of the batch of all processes, with the gradient of all of it; the authors' all_reduce hands none back, which
divides the gradient by the number of processes. `scale_loss` 0.024, at one rate for all parameters, is that code's
first form of sec. 2.2: LARS undoes a factor on the loss for weights, so it only gave biases and norms 0.2 * 0.024 =
0.0048, which `bias_lr` says directly; set one of the two. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather
from massrl.losses import barlow_twins, feature_std
from massrl.methods.base import Method, Needs, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class BarlowTwins(Method):
    """Barlow Twins: each channel of one view's embedding correlates with itself in the other view, and with no other.

    Args:
        hidden_dim: width of the projector's two hidden layers.
        out_dim: width of the embedding; memory and time of the loss grow with its square.
        lambd: weight of the correlations between different channels.
        scale_loss: factor on the loss.
    """

    needs = Needs(global_views=2)
    default_views = "barlow"
    default_optim = OptimConfig(
        name="lars", base_lr=0.2, bias_lr=0.024, weight_decay=1.5e-6, warmup_epochs=10, final_lr=1e-3
    )  # sec. 2.2: 0.2 for weights, 0.0048 for biases and norms, over 1000 on a cosine

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 8192,
        out_dim: int = 8192,
        lambd: float = 5e-3,
        scale_loss: float = 1.0,
        **common,
    ):
        super().__init__(backbone, **common)
        if lambd < 0:
            raise ConfigError(f"lambd is {lambd}; it must be at least 0")
        if scale_loss <= 0:
            raise ConfigError(f"scale_loss is {scale_loss}; it must be above 0")
        self.lambd, self.scale_loss = lambd, scale_loss
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_bias=False)

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (2, B, D)
        self.log("z_std", feature_std(z[0]))
        z1, z2 = gather(z)  # (world*B, D) each
        return barlow_twins(z1, z2, self.lambd, self.scale_loss)  # eq. 1
