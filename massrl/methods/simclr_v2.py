"""SimCLR v2: SimCLR with a deeper head, whose first layer stays with the encoder.

Chen et al., "Big Self-Supervised Models are Strong Semi-Supervised Learners", NeurIPS 2020, arXiv:2006.10029.
    l_ij = -log  exp(s_ij / tau) / sum_{k != i} exp(s_ik / tau)      s = cosine of z      (eq. 1), mean over (i, j)
    z = W3 relu(BN(W2 relu(BN(W1 h))))      features: relu(BN(W1 h))      h = backbone      (sec. 2)
Differs from the paper: takes any number of views, all ordered pairs of which are positives; for two it is eq. 1. Its
memory (keys of a momentum network as further negatives, about 1 % better by its sec. 3) is left out: the paper gives no
equation for it, and the authors' code has none. As in that code BatchNorm, with a scale and no shift, is on the output
too. The paper's warm-up is 5 % of the epochs, here 40 (of its 800), at most a tenth of the run. PySSL puts the layer
into its backbone at every `eval()`, once more each time. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather
from massrl.losses import feature_std, nt_xent
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import mlp
from massrl.optim import OptimConfig

HIDDEN = 3  # modules of a hidden layer of the head: Linear, BatchNorm, ReLU


@register
class SimCLRv2(Method):
    """SimCLR v2: SimCLR with a deeper head, whose first layer stays with the encoder.

    Args:
        hidden_dim: width of the projector's two hidden layers; None takes the backbone's, as the paper.
        out_dim: width of the embedding.
        tau: temperature.
        feature_layer: hidden layers of the projector that belong to the encoder: 1, or 0 (the backbone) to 2.
    """

    needs = Needs(global_views=2, or_more=True)
    default_views = "simclr"
    # sec. 3: 0.1 sqrt(batch), and 0.1 sqrt(256) is 1.6
    default_optim = OptimConfig(name="lars", base_lr=1.6, lr_scaling="sqrt", weight_decay=1e-4, warmup_epochs=40)
    default_bn_over = "all"
    projector: nn.Sequential

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
            raise ConfigError(f"feature_layer is {feature_layer}; choose 0 (the backbone), 1 or 2 (hidden layers)")
        self.tau, self.feature_layer = check_tau(tau), feature_layer
        self.hidden_dim = hidden_dim or self.num_features
        dims = (self.num_features, self.hidden_dim, self.hidden_dim, out_dim)
        self.projector = mlp(*dims, last_norm=True, last_shift=False)

    @property
    def encoder(self) -> nn.Module:
        """The backbone and the first `feature_layer` layers of the projector: (B, 3, H, W) -> (B, hidden_dim)."""
        if self.feature_layer == 0:
            return self.backbone
        encoder = nn.Sequential(self.backbone, *self.projector[: HIDDEN * self.feature_layer])
        encoder.num_features = self.hidden_dim  # type: ignore[assignment]  # torch declares Tensor | Module
        encoder.training = self.training
        return encoder

    @property
    def layer(self) -> str:
        return f"projector, hidden layer {self.feature_layer}" if self.feature_layer else "backbone"

    def loss(self, batch: Batch) -> Tensor:
        kept = HIDDEN * self.feature_layer
        middle = self.over(self.projector[:kept], self.encode(batch.global_views))  # V of (B, hidden_dim)
        self.keep_features(middle[0])  # for probes
        z = torch.stack(self.over(self.projector[kept:], middle))  # (V, B, D)
        self.keep_embeddings([*z])
        self.log("z_std", feature_std(z[0]))
        return nt_xent(gather(z), self.tau)  # eq. 1, negatives from all processes
