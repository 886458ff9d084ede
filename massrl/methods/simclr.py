"""SimCLR: views of one image attract, all other images of the batch repel.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, arXiv:2002.05709.
    l_ij = -log  exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau)      s = cosine of z      (eq. 1), mean over (i, j)
Differs from the paper: takes any number of views, all ordered pairs of which are positives; for two it is eq. 1. A
BatchNorm between the projector's layers, as in the authors' code, which also puts one, with a scale and no shift, on
the output (`projector_norm: true`). For smaller batches and fewer epochs the paper's appendix B.1 has the learning rate
0.075 sqrt(batch), 1.2 at a batch of 256 (`optim: {lr_scaling: sqrt, base_lr: 1.2}`). Collapse shows as z_std -> 0
(healthy: about 1/sqrt(D)); the negatives prevent it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.distributed import gather
from massrl.losses import feature_std, nt_xent
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class SimCLR(Method):
    """SimCLR: views of one image attract, all other images of the batch repel.

    Args:
        hidden_dim: hidden width of the projector; None takes the backbone's, as the paper.
        out_dim: width of the embedding.
        tau: temperature.
        projector_norm: BatchNorm with a scale and no shift on the projector's output, as the authors' code.
    """

    needs = Needs(global_views=2, or_more=True)
    default_views = "simclr"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)  # sec. 2.3
    default_bn_over = "all"

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int | None = None,
        out_dim: int = 128,
        tau: float = 0.1,
        projector_norm: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau = check_tau(tau)
        hidden_dim = hidden_dim or self.num_features
        dims = (self.num_features, hidden_dim, out_dim)
        self.projector = mlp(*dims, last_norm=projector_norm, last_shift=False, last_bias=False)

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (V, B, D)
        self.log("z_std", feature_std(z[0]))
        return nt_xent(gather(z), self.tau)  # eq. 1, negatives from all processes
