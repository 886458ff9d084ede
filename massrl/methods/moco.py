"""MoCo: a query against its key among a queue of keys, which a slowly moving network has made.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, arXiv:1911.05722.
    L_q = -log  exp(q.k+ / tau) / sum_{i=0..K} exp(q.k_i / tau)      k_i: k+ and the K keys of the queue      (eq. 1)
    theta_k <- m theta_k + (1 - m) theta_q      (eq. 2)
Differs from the paper: the target (key network) moves after the optimiser's step, not before the keys are made, which
is equivalent, as both start alike. Batch normalisation is shuffled over processes (sec. 3.3, `shuffle_bn`), which one
process or `sync_batchnorm` makes pointless. Biases and norms have no weight decay, which they have in the authors'
code. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.distributed import gather_rows, over_shuffled
from massrl.losses import feature_std, info_nce
from massrl.methods.base import Method, Needs, check_queue, check_tau, register
from massrl.nn import FeatureQueue, Target
from massrl.optim import OptimConfig


@register
class MoCo(Method):
    """MoCo: a query against its key among a queue of keys, which a slowly moving network has made.

    Args:
        out_dim: width of the embedding.
        tau: temperature.
        queue_size: keys kept as negatives.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end; the paper's is constant.
        shuffle_bn: with several processes, BatchNorm of the key network sees images shuffled between the processes.
    """

    needs = Needs(global_views=2)
    default_views = "moco_v1"
    default_optim = OptimConfig(name="sgd", base_lr=0.03, weight_decay=1e-4, schedule="step")  # 120, 160 of 200 epochs
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        out_dim: int = 128,
        tau: float = 0.07,
        queue_size: int = 65536,
        ema: float = 0.999,
        ema_end: float = 0.999,
        shuffle_bn: bool = True,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau, self.shuffle_bn = check_tau(tau), shuffle_bn
        self.projector = nn.Linear(self.num_features, out_dim)
        self.target = self.make_target(ema, ema_end)
        self.queue = FeatureQueue(queue_size, out_dim)

    def check_batch(self, batch: Batch) -> None:
        check_queue(self.queue, batch)

    def loss(self, batch: Batch) -> Tensor:
        x_q, x_k = batch.global_views
        (q,) = self.embed([x_q])  # (B, D)
        with torch.no_grad():
            k = over_shuffled(self.target, x_k, self.steps_done) if self.shuffle_bn else self.target(x_k)  # (B, D)
        self.log("z_std", feature_std(q))
        loss = info_nce(q, k, self.queue.rows(), self.tau)  # eq. 1
        if self.training:
            self.queue.push(F.normalize(gather_rows(k).float(), dim=1))
        return loss
