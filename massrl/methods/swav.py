"""SwAV: predict, from one view, the prototypes that another view of the image is assigned to.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020,
arXiv:2006.09882.
    L(z_t, z_s) = l(z_t, q_s) + l(z_s, q_t)      (eq. 1)
    l(z, q) = -sum_k q^k log softmax(z.c_k / tau)^k      (eq. 2)
    q: of the batch, by Sinkhorn's algorithm, so that prototypes get equal shares      (eq. 3 to 5);
    every view, local ones too, predicts the assignments of the global ones      (eq. 6)
Differs from the paper: nothing known. As in the authors' code prototypes have norm 1 before each forward, are not
trained in the first 313 steps, and the queue (for batches under 256, `queue_size`) is used once it is full. Defaults
are those of a batch of 4096. LARS leaves biases and norms alone, which that code decays and adapts as the rest.
Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)) and target_entropy -> log(num_prototypes); equal shares, which
keep marginal_entropy high, prevent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl.distributed import gather_rows, rank
from massrl.losses import feature_std, sinkhorn, swav
from massrl.methods.base import Method, Needs, check_queue, check_tau, register
from massrl.nn import FeatureQueue, Prototypes, mlp
from massrl.optim import OptimConfig


@register
class SwAV(Method):
    """SwAV: predict, from one view, the prototypes that another view of the image is assigned to.

    Args:
        hidden_dim: hidden width of the projector.
        out_dim: width of the embedding.
        num_prototypes: number of prototypes.
        tau: temperature.
        epsilon: smoothness of the assignments.
        sinkhorn_iterations: iterations of Sinkhorn's algorithm.
        queue_size: past embeddings of each assigned view that take part in the assignment; 0 for none.
        queue_from_epoch: epochs done before embeddings are put into the queue.
        assigned_views: how many global views, from the first on, are assigned; the others only predict.
        freeze_steps: optimiser steps at the start in which the prototypes are not trained.
    """

    needs = Needs(global_views=2, or_more=True, local_views=True)
    default_views = "swav_multicrop"
    # 4.8 for a batch of 4096, down to a thousandth
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10, final_lr=0.001)
    default_bn_over = "all"

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 128,
        num_prototypes: int = 3000,
        tau: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        queue_size: int = 0,
        queue_from_epoch: float = 15,
        assigned_views: int = 2,
        freeze_steps: int = 313,
        **common,
    ):
        super().__init__(backbone, **common)
        least = {"num_prototypes": (num_prototypes, 2), "sinkhorn_iterations": (sinkhorn_iterations, 1)}
        least |= {"queue_size": (queue_size, 0), "assigned_views": (assigned_views, 1)}
        for name, (value, smallest) in least.items():
            if value < smallest:
                raise ConfigError(f"{name} is {value}; it must be at least {smallest}")
        self.tau, self.epsilon, self.iterations = check_tau(tau), check_tau(epsilon, "epsilon"), sinkhorn_iterations
        self.queue_size, self.queue_from_epoch, self.freeze_steps = queue_size, queue_from_epoch, freeze_steps
        self.projector = mlp(self.num_features, hidden_dim, out_dim)
        self.prototypes = Prototypes(out_dim, num_prototypes)
        self.assigned_views, queues = assigned_views, assigned_views if queue_size else 0
        self.queues = nn.ModuleList(FeatureQueue(queue_size, out_dim, random=False) for _ in range(queues))

    def frozen(self) -> Iterable[nn.Parameter]:
        return self.prototypes.parameters() if self.steps_done < self.freeze_steps else ()

    def check_batch(self, batch: Batch) -> None:
        if self.queues:
            check_queue(cast(FeatureQueue, self.queues[0]), batch)  # ModuleList has no type for its items

    def check(self, views: ViewSet | Sequence[View]) -> None:
        super().check(views)
        found = sum(v.role == "global" for v in (views.views if isinstance(views, ViewSet) else views))
        if found < self.assigned_views:
            raise ConfigError(f"assigned_views is {self.assigned_views}, and there are {found} global views")

    @torch.no_grad()
    def assign(self, z: Tensor, scores: Tensor, queue: FeatureQueue | None) -> Tensor:
        """Assignments (B, K) of one global view to prototypes, which sum to 1 for each image.

        Sinkhorn's algorithm gives prototypes equal shares of the images of all processes and of the queue. z (B, D) of
        norm 1 goes into the queue afterwards; scores (B, K) are its cosines with the prototypes.
        """
        B = len(scores)
        everyone = gather_rows(scores)  # (W*B, K)
        if queue is not None and queue.full:
            everyone = torch.cat([everyone, self.prototypes(queue.rows()).to(everyone.dtype)])
        q = sinkhorn(everyone, self.epsilon, self.iterations)[rank() * B : (rank() + 1) * B]
        if queue is not None and self.training and self.epochs_done >= self.queue_from_epoch:
            queue.push(gather_rows(z))
        return q

    def loss(self, batch: Batch) -> Tensor:
        if self.training:
            self.prototypes.normalise()
        views = [*batch.global_views, *batch.local_views]
        z = [F.normalize(x, dim=1) for x in self.embed(views)]  # V of (B, D)
        self.log("z_std", feature_std(z[0]))
        scores = torch.stack(self.over(self.prototypes, z))  # (V, B, K)
        queues = [*self.queues] or [None] * self.assigned_views
        given = zip(z, scores.detach(), queues, strict=False)
        q = torch.stack([self.assign(*one) for one in given])  # (A, B, K)
        self.keep_targets(q[0])
        return swav(scores, q, self.tau)  # eq. 6
