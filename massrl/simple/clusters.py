"""DINO and SwAV in PySSL's form: global and local views against prototypes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError
from data_loading.views.view_set import ViewSet
from massrl.methods import dino, swav
from massrl.simple.base import Setting, Simple


def multi_crop(strategy: str, image_size: int, local: int) -> ViewSet:
    """Two global views, and local ones of 3/7 of their side: 96 of 224."""
    return ViewSet([strategy], crops=2, size=image_size, local=local, local_size=max(1, int(image_size * 3 / 7)))


class DINO(Simple):
    """DINO, arXiv:2104.14294: every view's distribution over prototypes follows the target's on the global views.

    Differs from PySSL, whose target has a higher temperature than the online network, where it must be lower: `temp_t`
    is 0.04, not 0.5, the centre's momentum `m` 0.9, not 0.5, `projection_dim` 65536, not 256; crops and blur are the
    paper's; `total_steps` for a momentum that rises to 1, and `freeze_steps`, the steps of an epoch in the paper, for
    which the prototypes rest. The paper's temp_t rises to 0.07 over 30 epochs: set `model.temp_t` for that. Where the
    loss stays at log(projection_dim), as with small networks, `head_norm=True` puts BatchNorm into the head.

    Args:
        projection_dim: number of prototypes.
        hidden_dim: hidden width of the head.
        bottleneck_dim: width before the prototypes.
        temp_s: temperature of the online network (student).
        temp_t: temperature of the target network (teacher).
        m: momentum of the centre.
        lamda: momentum of the target.
        num_crops: number of local views.
    """

    of = dino.DINO
    method: dino.DINO
    hidden_dim: int
    bottleneck_dim: int
    head_norm: bool
    names = {
        "projection_dim": "out_dim",
        "temp_s": "tau",
        "temp_t": "tau_target",
        "m": "centre_momentum",
        "lamda": "ema",
    }
    temp_s, temp_t = Setting("tau"), Setting("tau_target")
    m, lamda = Setting("centre_momentum"), Setting("ema")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 65536,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        temp_s: float = 0.1,
        temp_t: float = 0.04,
        m: float = 0.9,
        lamda: float = 0.996,
        num_crops: int = 6,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
        total_steps: int | None = None,
        freeze_steps: int = 0,
        head_norm: bool = False,
    ):
        if views is None:
            views = multi_crop("dino", image_size, num_crops)
        super().__init__(
            backbone, feature_size, image_size, mean, std, views, seed, total_steps, freeze_steps,
            projection_dim=projection_dim, hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim,
            temp_s=temp_s, temp_t=temp_t, m=m, lamda=lamda, head_norm=head_norm,
        )  # fmt: skip
        self.num_crops = self.view_set.local

    @property
    def encoder(self) -> nn.Sequential:
        """Normalised images -> logits (N, projection_dim): backbone and head."""
        return self._chain(self.backbone, *self.head_student)

    @property
    def student(self) -> nn.Sequential:
        """The online network: normalised images (N, 3, H, W) -> logits (N, projection_dim)."""
        return self.encoder

    @property
    def teacher(self) -> nn.Sequential:
        """The target network: normalised images (N, 3, H, W) -> logits (N, projection_dim)."""
        return self._target()

    @property
    def head_student(self) -> nn.Sequential:
        """The online network's head: features (N, feature_size) -> logits (N, projection_dim)."""
        return self._chain(self.method.projector, self.method.prototypes)

    @property
    def head_teacher(self) -> nn.Sequential:
        """The target network's head: features (N, feature_size) -> logits (N, projection_dim)."""
        return self._target(first=1)

    @property
    def center(self) -> Tensor:
        """(1, projection_dim), subtracted from the target's logits."""
        return self.method.centre[None]


class SwAV(Simple):
    """SwAV, arXiv:2006.09882: predict, from one view, the prototypes that another view of the image is assigned to.

    Differs from PySSL, whose encoder gets no gradient, and whose loss has the wrong sign; `queue_length` is the paper's
    3840, not 64, takes any size of batch up to that, and is used once it is full; the prototypes rest for the first 313
    steps, as in the authors' code.

    Args:
        projection_dim: width of the embedding.
        hidden_dim: hidden width of the projector.
        temperature: of the loss.
        epsilon: smoothness of the assignments.
        sinkhorn_iterations: of Sinkhorn's algorithm.
        num_prototypes: number of prototypes.
        queue_length: past embeddings of each global view that take part in assigning.
        use_the_queue: False with batches that are large beside num_prototypes.
        num_crops: number of local views.
    """

    of = swav.SwAV
    method: swav.SwAV
    hidden_dim: int
    num_prototypes: int
    names = {"projection_dim": "out_dim", "temperature": "tau", "queue_length": "queue_size"}
    temperature, epsilon, sinkhorn_iterations = Setting("tau"), Setting("epsilon"), Setting("iterations")

    def __init__(
        self,
        backbone: nn.Module,
        feature_size: int,
        projection_dim: int = 128,
        hidden_dim: int = 2048,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        num_prototypes: int = 3000,
        queue_length: int = 3840,
        use_the_queue: bool = True,
        num_crops: int = 6,
        image_size: int = 224,
        mean: float | Sequence[float] = (0.5,),
        std: float | Sequence[float] = (0.229, 0.224, 0.225),
        *,
        views: str | dict | list | ViewSet | None = None,
        seed: int = 0,
        freeze_steps: int = 313,
    ):
        if use_the_queue and queue_length < 1:
            raise ConfigError(f"SwAV: queue_length is {queue_length}; give at least 1, or use_the_queue=False")
        if views is None:
            views = multi_crop("swav", image_size, num_crops)
        super().__init__(
            backbone, feature_size, image_size, mean, std, views, seed, None, freeze_steps,
            projection_dim=projection_dim, hidden_dim=hidden_dim, temperature=temperature, epsilon=epsilon,
            sinkhorn_iterations=sinkhorn_iterations, num_prototypes=num_prototypes,
            queue_length=queue_length if use_the_queue else 0,
        )  # fmt: skip
        self.queue_length, self.use_the_queue, self.num_crops = queue_length, use_the_queue, self.view_set.local

    @property
    def prototypes(self) -> nn.Module:
        """The linear layer from embeddings (N, projection_dim) to scores (N, num_prototypes)."""
        return self.method.prototypes

    @property
    def queue(self) -> Tensor:
        """The past embeddings of both global views (2, queue_length, projection_dim); none without a queue."""
        rings = [queue.get_buffer("ring") for queue in self.method.queues]
        return torch.stack(rings) if rings else self.method.prototypes.weight.new_zeros(2, 0, self.projection_dim)
