"""SupCon: SimCLR with labels; all views of all images of a class attract, those of other classes repel.

Khosla et al., "Supervised Contrastive Learning", NeurIPS 2020, arXiv:2004.11362.
    L_i = -1/|P(i)| sum_{p in P(i)} log  exp(s_ip / tau) / sum_{a != i} exp(s_ia / tau)      (eq. 2, L_out), mean over i
    s = cosine of z      P(i): all views with the label of i, but i itself
Differs from the paper: the mean over the anchors i for their sum. The authors' codes multiply the loss: by tau in
TensorFlow (`base_tau: 1`), by tau / 0.07 in PyTorch (`base_tau: 0.07`); that in TensorFlow also normalises the features
before the projector, in its scripts a single layer; here both are as the paper's text. Optimiser, tau and augmentation
are those of its script for ResNet-50 (LARS, 350 epochs at batch 6144). solo-learn sums the positives inside the
logarithm, about L_in (eq. 3), which the paper found worse; PySSL does not normalise z. The paper's second stage, a
classifier on the frozen features, is `massrl linear`. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)); other
classes prevent it, and that the z of one class fall together is meant.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather, gather_rows
from massrl.losses import feature_std, supcon
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class SupCon(Method):
    """SupCon: SimCLR with labels; all views of all images of a class attract, those of other classes repel.

    Args:
        hidden_dim: hidden width of the projector, which has no BatchNorm.
        out_dim: width of the embedding.
        tau: temperature.
        base_tau: multiply the loss by tau / base_tau, as the authors' codes; None leaves it as the equation has it.
    """

    needs = Needs(global_views=2, or_more=True, labels=True)
    default_views = "autoaugment"
    default_optim = OptimConfig(name="lars", base_lr=0.4, weight_decay=1e-3, warmup_epochs=12)
    default_bn_over = "all"

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 128,
        tau: float = 0.1,
        base_tau: float | None = None,
        **common,
    ):
        super().__init__(backbone, **common)
        self.tau = check_tau(tau)
        self.base_tau = None if base_tau is None else check_tau(base_tau, "base_tau")
        self.projector = mlp(self.num_features, hidden_dim, out_dim, norm=False)

    def check_batch(self, batch: Batch) -> None:
        if batch.soft_labels is not None:
            raise ConfigError("SupCon takes no mixed batch (Batch.mix): it asks whether two images are of one class")

    def loss(self, batch: Batch) -> Tensor:
        z = torch.stack(self.embed(batch.global_views))  # (V, B, D)
        labels = gather_rows(batch.labels)  # (W*B,), of all processes
        self.log("z_std", feature_std(z[0]))
        return supcon(gather(z), labels, self.tau, self.base_tau)  # eq. 2
