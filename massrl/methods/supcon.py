"""SupCon: SimCLR with labels; all views of all images of a class attract, other classes repel.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv:2004.11362.
    L_i = -1/|P(i)| sum_{p in P(i)} log  exp(z_i.z_p/tau) / sum_{a != i} exp(z_i.z_a/tau)      (eq. 2, L_out)
Differs from the paper: nothing known. The authors' code multiplies by tau / 0.07 (`base_tau: 0.07`); solo-learn sums
the positives inside the logarithm (the paper's L_in, which it found worse). Collapse shows as z_std -> 0; that z of one
class come together is meant. Paper: SimCLR's projector, tau 0.1 (sec. 4), AutoAugment.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather, gather_rows
from massrl.losses import feature_std, supcon
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class SupCon(Method):
    """SupCon: SimCLR with labels; all views of all images of a class attract, other classes repel.

    Args:
        hidden_dim: hidden width of the projector; the paper's is 2048.
        out_dim: width of the embedding.
        tau: temperature.
        base_tau: the loss is multiplied by tau / base_tau; None leaves it, as the paper's equation.
    """

    needs = Needs(global_views=2, or_more=True, labels=True)
    default_views = "autoaugment"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)  # as SimCLR's
    default_bn_over = "all"

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 128,
        tau: float = 0.1,
        base_tau: float | None = None,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau = check_tau(tau)
        if base_tau is not None and base_tau <= 0:
            raise ConfigError(f"base_tau is {base_tau}; it must be above 0, or left out")
        self.base_tau = base_tau
        self.projector = mlp(self.num_features, hidden_dim, out_dim, norm=False)

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (V, B, D)
        self.log("z_std", feature_std(z[0]))
        return supcon(gather(z), gather_rows(batch.labels), self.tau, self.base_tau)  # eq. 2
