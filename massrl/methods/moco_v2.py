"""MoCo v2: MoCo with a head of two layers, stronger augmentation, a higher temperature and a cosine schedule.

Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020, arXiv:2003.04297.
    L_q = -log  exp(q.k+ / tau) / sum_{i=0..K} exp(q.k_i / tau)      (MoCo's eq. 1), tau = 0.2      (table 2)
Differs from the paper: as MoCo. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

from torch import nn

from massrl.methods.base import register
from massrl.methods.moco import MoCo
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class MoCoV2(MoCo):
    """MoCo v2: MoCo with a head of two layers, stronger augmentation, a higher temperature and a cosine schedule.

    Args:
        hidden_dim: hidden width of the projector; None takes the backbone's, as the paper.
        out_dim: width of the embedding.
        tau: temperature.
        queue_size: keys kept as negatives.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end; the paper's is constant.
        shuffle_bn: with several processes, BatchNorm of the key network sees images shuffled between the processes.
    """

    default_views = "moco_v2"
    default_optim = OptimConfig(name="sgd", base_lr=0.03, weight_decay=1e-4)

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int | None = None,
        out_dim: int = 128,
        tau: float = 0.2,
        queue_size: int = 65536,
        ema: float = 0.999,
        ema_end: float = 0.999,
        shuffle_bn: bool = True,
        **common,
    ):
        super().__init__(backbone, out_dim, tau, queue_size, ema, ema_end, shuffle_bn, **common)
        self.projector = mlp(self.num_features, hidden_dim or self.num_features, out_dim, norm=False)
        self.target = self.make_target(ema, ema_end)
