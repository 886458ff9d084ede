"""MoCo v3: a prediction against the keys of the batch, each view as query and as key; no queue.

Chen et al., "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021, arXiv:2104.02057.
    L = ctr(q1, k2) + ctr(q2, k1)
    ctr(q, k) = 2 tau * -log  exp(q_i.k_i / tau) / sum_j exp(q_i.k_j / tau)      (eq. 1)
    q: online network with predictor, k: target network, of all processes      (algorithm 1)
Differs from the paper: the target moves after the optimiser's step, not before the keys are made, which is equivalent
from the second step on. Defaults are those for ResNets; a ViT has `projector_layers: 3, pred_norm: true, tau: 0.2,
freeze_patch_embed: true` (sec. 4.2), AdamW, crops from area 0.08, and fixed sine-cosine positions in the authors' code,
learnt ones in timm's models. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import gather, gather_rows
from massrl.losses import feature_std, info_nce_batch
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import Target, mlp
from massrl.optim import OptimConfig


@register
class MoCoV3(Method):
    """MoCo v3: a prediction against the keys of the batch, each view as query and as key; no queue.

    Args:
        hidden_dim: hidden width of projector and predictor.
        out_dim: width of embedding and prediction.
        tau: temperature; 1.0 with a ResNet, 0.2 with a ViT.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end, reached on a cosine.
        projector_layers: 2 with a ResNet, 3 with a ViT.
        pred_norm: BatchNorm without scale and shift on the predictor's output, as with a ViT.
        freeze_patch_embed: leave the projection of patches of a ViT at its random start (sec. 4.2).
    """

    needs = Needs(global_views=2)
    default_views = "moco_v3"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)  # 300 epochs
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 4096,
        out_dim: int = 256,
        tau: float = 1.0,
        ema: float = 0.99,
        ema_end: float = 1.0,
        projector_layers: int = 2,
        pred_norm: bool = False,
        freeze_patch_embed: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        if projector_layers < 1:
            raise ConfigError(f"projector_layers is {projector_layers}; a projector has at least one layer")
        self.tau = check_tau(tau)
        if freeze_patch_embed:
            patches = getattr(self.backbone, "patch_embed", None)
            if not isinstance(patches, nn.Module):
                raise ConfigError("freeze_patch_embed is for ViTs of timm; this backbone has no patch_embed")
            patches.requires_grad_(False)
        hidden = [hidden_dim] * (projector_layers - 1)
        self.projector = mlp(self.num_features, *hidden, out_dim, last_norm=True, last_affine=False)
        self.predictor = mlp(out_dim, hidden_dim, out_dim, last_norm=pred_norm, last_affine=False, last_bias=False)
        self.target = self.make_target(ema, ema_end)

    def ctr(self, q: Tensor, k: Tensor) -> Tensor:
        """Eq. 1 over the images of all processes, as a scalar; q, k: (B, D) of this process, any norm."""
        return 2 * self.tau * info_nce_batch(gather(q[None])[0], gather_rows(k), self.tau)  # eq. 1

    def loss(self, batch: Batch) -> Tensor:
        views = batch.global_views
        z1, z2 = self.embed(views)  # (B, D) each
        q1, q2 = self.over(self.predictor, [z1, z2])  # (B, D) each
        with torch.no_grad():
            k1, k2 = self.embed(views, through=self.target)  # (B, D) each
        self.log("z_std", feature_std(z1))
        return self.ctr(q1, k2) + self.ctr(q2, k1)
