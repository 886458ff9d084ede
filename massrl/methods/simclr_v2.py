"""SimCLR v2: SimCLR with a deeper head, of which the first layer is kept as a part of the encoder.

Chen et al., "Big Self-Supervised Models are Strong Semi-Supervised Learners", NeurIPS 2020, arXiv:2006.10029.
    l_ij = -log  exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau)      s = cosine of z      (eq. 1), mean over (i, j)
    features: f_task = W_task . sigma(W^(1) f(x))      from a middle layer of the head      (sec. 2)
Differs from the paper: its optional memory (a queue of 65,536 keys of a momentum encoder, 0.2 to 1 point there) is left
out. Rate: LARS at 0.1 sqrt(batch). Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)); the negatives prevent it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather
from massrl.losses import feature_std, nt_xent
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import mlp
from massrl.optim import OptimConfig

LAYER = 3  # modules of a hidden layer of the head: Linear, BatchNorm, ReLU


@register
class SimCLRv2(Method):
    """SimCLR v2: SimCLR with a deeper head, of which the first layer is kept as a part of the encoder.

    Args:
        hidden_dim: hidden width of the projector, which has three layers; None takes the backbone's, as the paper.
        out_dim: width of the embedding.
        tau: temperature.
        feature_layer: hidden layers of the head that belong to `encoder`, whose output is evaluated: 0, 1 or 2.
    """

    needs = Needs(global_views=2, or_more=True)
    default_views = "simclr"
    # sec. 3: 0.1 sqrt(4096) = 6.4; warm-up over 5 % of 800 epochs
    default_optim = OptimConfig(name="lars", base_lr=1.6, lr_scaling="sqrt", weight_decay=1e-4, warmup_epochs=40)
    default_bn_over = "all"

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int | None = None,
        out_dim: int = 128,
        tau: float = 0.1,
        feature_layer: int = 1,
        **common,
    ):
        super().__init__(backbone, **common)
        if feature_layer not in (0, 1, 2):
            raise ConfigError(
                f"feature_layer is {feature_layer}; the head has hidden layers 1 and 2, 0 is the backbone"
            )
        self.tau = check_tau(tau)
        self.hidden_dim, self.kept = hidden_dim or self.num_features, LAYER * feature_layer
        self.projector = mlp(self.num_features, self.hidden_dim, self.hidden_dim, out_dim, last_norm=True)

    @property
    def encoder(self) -> nn.Module:
        if not self.kept:
            return self.backbone
        encoder = nn.Sequential(self.backbone, self.projector[: self.kept])
        encoder.num_features = self.hidden_dim
        return encoder.train(self.training)

    def embed(self, views: Sequence[Tensor], through: nn.Module | None = None) -> list[Tensor]:
        h = self.over(self.projector[: self.kept], self.encode(views))  # (B, hidden_dim) each
        self.keep_features(h[0])
        return self.over(self.projector[self.kept :], h)

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (V, B, D)
        self.log("z_std", feature_std(z[0]))
        return nt_xent(gather(z), self.tau)  # eq. 1, negatives from all processes
