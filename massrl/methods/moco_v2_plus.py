"""MoCo v2+: MoCo v2 with each view as query and as key, and a queue for each view.

No paper: the form in which solo-learn (da Costa et al., JMLR 2022, arXiv:2108.01775) has MoCo v2.
    L = 1/2 L_q(q1, k2, queue2) + 1/2 L_q(q2, k1, queue1)      L_q: MoCo's eq. 1 (arXiv:1911.05722)
Differs from MoCo v2: symmetric; two queues; a momentum that rises on a cosine from 0.99 to 0.999; ten times the rate;
batch normalisation is not shuffled. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.distributed import gather_rows
from massrl.losses import feature_std, info_nce
from massrl.methods.base import Method, Needs, check_queue, check_tau, register
from massrl.nn import FeatureQueue, Target, mlp
from massrl.optim import OptimConfig


@register
class MoCoV2Plus(Method):
    """MoCo v2+: MoCo v2 with each view as query and as key, and a queue for each view.

    Args:
        hidden_dim: hidden width of the projector.
        out_dim: width of the embedding.
        tau: temperature.
        queue_size: keys of each view kept as negatives.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end.
    """

    needs = Needs(global_views=2)
    default_views = "moco_v2"
    default_optim = OptimConfig(name="sgd", base_lr=0.3, weight_decay=1e-4, warmup_epochs=10)
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 256,
        tau: float = 0.2,
        queue_size: int = 65536,
        ema: float = 0.99,
        ema_end: float = 0.999,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau = check_tau(tau)
        self.projector = mlp(self.num_features, hidden_dim, out_dim, norm=False)
        self.target = self.make_target(ema, ema_end)
        self.queue1, self.queue2 = (FeatureQueue(queue_size, out_dim, seed=seed) for seed in (0, 1))

    def check_batch(self, batch: Batch) -> None:
        check_queue(self.queue1, batch)

    def loss(self, batch: Batch) -> Tensor:
        views = batch.global_views
        q1, q2 = self.embed(views)  # (B, D) each
        with torch.no_grad():
            k1, k2 = self.embed(views, through=self.target)  # (B, D) each
        self.log("z_std", feature_std(q1))
        one = info_nce(q1, k2, self.queue2.rows(), self.tau)
        two = info_nce(q2, k1, self.queue1.rows(), self.tau)
        if self.training:
            for queue, k in ((self.queue1, k1), (self.queue2, k2)):
                queue.push(F.normalize(gather_rows(k).float(), dim=1))
        return 0.5 * (one + two)
