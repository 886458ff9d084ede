"""SimSiam: two views, one encoder, a stop-gradient; no negatives and no momentum.

Chen & He, "Exploring Simple Siamese Representation Learning", CVPR 2021, arXiv:2011.10566.
    L = 1/2 D(p1, sg z2) + 1/2 D(p2, sg z1)     (eq. 4)      D(p, z) = -cos(p, z)     (eq. 1)
Differs from the paper: biases and the parameters of norms have no weight decay; the authors' code decays all. The
BatchNorm on the projector's output has neither scale nor shift, as in that code; sec. 3 does not say. solo-learn adds
the two halves up, and so has twice this loss. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)) and loss -> -1.
"""

from __future__ import annotations

from torch import Tensor, nn

from data_loading.batch import Batch
from massrl.losses import feature_std, negative_cosine
from massrl.methods.base import Method, Needs, register
from massrl.nn import mlp
from massrl.optim import OptimConfig


@register
class SimSiam(Method):
    """SimSiam: two views, one encoder, a stop-gradient; no negatives and no momentum.

    Args:
        hidden_dim: hidden width of the projector.
        out_dim: width of embedding and prediction.
        pred_dim: hidden width of the predictor, a bottleneck.
    """

    needs = Needs(global_views=2)
    default_views = "moco_v2"
    default_optim = OptimConfig(
        name="sgd", base_lr=0.05, weight_decay=1e-4, predictor_schedule="constant"
    )  # sec. 4, and sec. 4.2 for the predictor: its rate does not decay

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        out_dim: int = 2048,
        pred_dim: int = 512,
        **common,
    ):
        super().__init__(backbone, **common)
        self.projector = mlp(self.num_features, hidden_dim, hidden_dim, out_dim, last_norm=True, last_affine=False)
        self.predictor = mlp(out_dim, pred_dim, out_dim)

    def loss(self, batch: Batch) -> Tensor:
        z1, z2 = self.embed(batch.global_views)  # (B, D) each
        p1, p2 = self.over(self.predictor, [z1, z2])  # (B, D) each
        self.log("z_std", feature_std(z1))
        return 0.5 * (negative_cosine(p1, z2.detach()) + negative_cosine(p2, z1.detach()))  # eq. 4
