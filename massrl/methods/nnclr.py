"""NNCLR: the nearest neighbour of a view in a queue of past embeddings takes the view's place as the positive.

Dwibedi et al., "With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual Representations",
ICCV 2021, arXiv:2104.14548.
    L_i = -log  exp(NN(z_i, Q).p_i+/tau) / sum_k exp(NN(z_i, Q).p_k+/tau)      (eq. 3, with the prediction head)
    NN(z, Q) = argmin over q in Q of |z - q|      (eq. 2);      both ways round, halved      (sec. 3.2)
Differs from the paper: nothing known. The queue starts from random unit vectors and takes one view's embeddings (z1)
after each loss, as in the authors' pseudocode. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.distributed import gather, gather_rows
from massrl.losses import feature_std, nearest_neighbour, nnclr
from massrl.methods.base import Method, Needs, check_queue, check_tau, register
from massrl.nn import FeatureQueue, mlp
from massrl.optim import OptimConfig


@register
class NNCLR(Method):
    """NNCLR: the nearest neighbour of a view in a queue of past embeddings takes the view's place as the positive.

    Args:
        hidden_dim: hidden width of the projector, which has three layers.
        out_dim: width of embedding and prediction.
        pred_dim: hidden width of the predictor.
        tau: temperature.
        queue_size: embeddings kept to look for neighbours.
    """

    needs = Needs(global_views=2)
    default_views = "byol"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)  # sec. 4.1

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 256,
        pred_dim: int = 4096,
        tau: float = 0.1,
        queue_size: int = 98304,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau = check_tau(tau)
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_norm=True)
        self.predictor = mlp(out_dim, pred_dim, out_dim)
        self.queue = FeatureQueue(queue_size, out_dim)

    def check_batch(self, batch: Batch) -> None:
        check_queue(self.queue, batch)

    def loss(self, batch: Batch) -> Tensor:
        z1, z2 = self.embed(batch.global_views)  # (B, D) each
        p1, p2 = self.over(self.predictor, [z1, z2])  # (B, D) each
        self.log("z_std", feature_std(z1))
        z1, z2 = gather_rows(z1), gather_rows(z2)  # of all processes, without gradient
        queue = self.queue.rows()  # (Q, D)
        n1, n2 = nearest_neighbour(z1, queue), nearest_neighbour(z2, queue)
        loss = 0.5 * (nnclr(gather(p2), n1, self.tau) + nnclr(gather(p1), n2, self.tau))  # eq. 3, both ways
        if self.training:
            self.queue.push(F.normalize(z1.float(), dim=1))
        return loss
