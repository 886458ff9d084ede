"""Barlow Twins: the cross-correlation of the two views' embeddings over the batch shall be the identity.

Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, arXiv:2103.03230.
    L = sum_i (1 - C_ii)^2 + lambda sum_i sum_{j != i} C_ij^2      (eq. 1)
    C_ij = sum_b z1_bi z2_bj / (|z1_i| |z2_j|)      each channel centred over the batch      (eq. 2)
Differs from the paper: nothing known. The authors' code multiplies the loss by 0.024 (`scale_loss`), solo-learn by 0.1
or 0.048, lightly by 1; under LARS the factor matters for biases and norms only. Collapse shows as z_std -> 0 (healthy:
about 1/sqrt(D)); the first term forbids constant channels, the second copies of each other.
"""

from __future__ import annotations

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
    """Barlow Twins: the cross-correlation of the two views' embeddings over the batch shall be the identity.

    Args:
        hidden_dim: hidden width of the projector, which has three layers.
        out_dim: width of the embedding.
        lambd: weight of the terms off the diagonal.
        scale_loss: factor on the loss; the authors' code has 0.024.
    """

    needs = Needs(global_views=2)
    default_views = "barlow"
    # sec. 2.2: 0.2 for weights, 0.0048 for biases and the parameters of norms
    default_optim = OptimConfig(name="lars", base_lr=0.2, bias_lr=0.024, weight_decay=1.5e-6, warmup_epochs=10)

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 8192,
        out_dim: int = 8192,
        lambd: float = 0.0051,
        scale_loss: float = 1.0,
        **common,
    ):
        super().__init__(backbone, **common)
        if lambd < 0 or scale_loss <= 0:
            raise ConfigError(f"lambd is {lambd}, scale_loss {scale_loss}; the first is at least 0, the other above 0")
        self.lambd, self.scale_loss = lambd, scale_loss
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_bias=False)

    def loss(self, batch: Batch) -> Tensor:
        z1, z2 = self.embed(batch.global_views)  # (B, D) each
        self.log("z_std", feature_std(z1))
        z1, z2 = gather(z1), gather(z2)  # C over the images of all processes
        return barlow_twins(z1, z2, self.lambd, self.scale_loss)  # eq. 1
