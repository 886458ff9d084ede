"""NNCLR: the positive of a view is the nearest neighbour of another view, in a queue of past embeddings.

Dwibedi et al., "With a Little Help from My Friends: Nearest-Neighbor Contrastive Learning of Visual Representations",
ICCV 2021, arXiv:2104.14548.
    L_i = -log  exp(n_i.p_i / tau) / sum_k exp(n_i.p_k / tau)      (eq. 3, with p in place of z+: sec. 3.2)
    n_i = NN(z_i, Q) = argmin_{q in Q} |z_i - q|      (eq. 4)      p = g(z+), z+ from another view; all normalised
    L = 1/2 L(n1, p2) + 1/2 L(n2, p1);      then the z1 of the batch replace the oldest rows of Q
Differs from the paper: takes any number of views, the mean over their ordered pairs; for two it is the above. Its full
text was not at hand; as we know it, it also adds the term with the sum over the neighbours, exp(n_k.p_i / tau), and
finds no effect of it. That term is `symmetric: true`; eq. 3, the pseudocode and solo-learn have none. lightly's loss is
one NT-Xent of neighbours and predictions, so that neighbours repel neighbours too. Collapse shows as z_std -> 0
(healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
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
    """NNCLR: the positive of a view is the nearest neighbour of another view, in a queue of past embeddings.

    Args:
        hidden_dim: width of the projector's two hidden layers.
        out_dim: width of embedding and prediction.
        pred_dim: hidden width of the predictor.
        tau: temperature.
        queue_size: past embeddings among which neighbours are searched.
        symmetric: add the term whose denominator sums over the neighbours in place of the predictions.
    """

    needs = Needs(global_views=2, or_more=True)
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
        symmetric: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau, self.symmetric = check_tau(tau), symmetric
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_norm=True)
        self.predictor = mlp(out_dim, pred_dim, out_dim)
        self.queue = FeatureQueue(queue_size, out_dim)

    def check_batch(self, batch: Batch) -> None:
        check_queue(self.queue, batch)

    def loss(self, batch: Batch) -> Tensor:
        views = self.embed(batch.global_views)  # V of (B, D)
        p = torch.stack(self.over(self.predictor, views))  # (V, B, D)
        z = torch.stack(views).detach()  # (V, B, D), no gradient to neighbours
        n = nearest_neighbour(z, self.queue.ring)  # (V, B, D), eq. 4; no gradient, so no copy of the queue
        self.log("z_std", feature_std(z[0]))
        loss = nnclr(gather(n), gather(p), self.tau, self.symmetric)  # eq. 3, the images of all processes
        if self.training:
            self.queue.push(F.normalize(gather_rows(z[0]).float(), dim=1))
        return loss
