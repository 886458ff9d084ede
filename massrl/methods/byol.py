"""BYOL: predict the target network's embedding of one view from the other view; no negatives.

Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, arXiv:2006.07733.
    L = |p1/|p1| - z2'/|z2'||^2 + |p2/|p2| - z1'/|z1'||^2      z' = target, no gradient      (eq. 2, both ways)
    target <- m target + (1 - m) online      m = 1 - (1 - m0) (cos(pi k / K) + 1) / 2, k of K steps      (sec. 3.3)
Differs from the paper: nothing known. k counts optimiser steps, also under accumulation, and the parameters alone
follow; `ema_buffers` makes the running statistics follow too. solo-learn has a bias in the last layer of both heads.
Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)) and loss -> 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.losses import cosine_distance, feature_std
from massrl.methods.base import Method, Needs, register
from massrl.nn import Target, mlp, projector
from massrl.optim import OptimConfig


@register
class BYOL(Method):
    """BYOL: predict the target network's embedding of one view from the other view; no negatives.

    Args:
        hidden_dim: hidden width of projector and predictor.
        out_dim: width of embedding and prediction.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end, reached on a cosine; equal to ema keeps it constant.
        projector_norm: BatchNorm without scale and shift on the projector's output.
    """

    needs = Needs(global_views=2)
    default_views = "byol"
    default_optim = OptimConfig(name="lars", base_lr=0.2, weight_decay=1.5e-6, warmup_epochs=10)  # sec. 3.3
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 4096,
        out_dim: int = 256,
        ema: float = 0.996,
        ema_end: float = 1.0,
        projector_norm: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        self.projector = projector(self.num_features, hidden_dim, out_dim, norm=projector_norm)
        self.predictor = mlp(out_dim, hidden_dim, out_dim, last_bias=False)
        self.target = self.make_target(ema, ema_end)

    def loss(self, batch: Batch) -> Tensor:
        views = batch.global_views
        z1, z2 = self.embed(views)  # (B, D) each
        p1, p2 = self.over(self.predictor, [z1, z2])  # (B, D) each
        with torch.no_grad():
            z1_target, z2_target = self.embed(views, through=self.target)  # (B, D) each
        self.log("z_std", feature_std(z1))
        return cosine_distance(p1, z2_target) + cosine_distance(p2, z1_target)  # eq. 2, both ways
