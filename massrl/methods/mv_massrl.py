"""Multi-view MASSRL: several strategies on global and local crops, with BYOL's loss or with DINO's.

Tran et al., the authors' repository "MV_MA_SSRL", 2023, successor of MASSRL (arXiv:2205.11772); no paper was at hand.
    L = alpha L_glob + (1 - alpha) L_loc
    L_glob = sum over ordered pairs of global views (q, v), v != q, of d(online v, target q)
    L_loc  = sum over global views q and local views v of d(online v, target q)
    d = 2 - 2 cos(p_v, sg z'_q)  for ResNets (BYOL's eq. 2);      DINO's cross-entropy for ViTs (its eq. 3)
    alpha: constant; "steps": 0.5, from 30 % of the run 0.8, from 90 % 1; "cosine": alpha (cos(pi k/K) + 1) / 2
Differs from the published code: L is divided by the sum of its weights, which makes it a mean over pairs
(`reduction: sum` leaves that out); without local views alpha is 1; the published index of local views is
off by one, takes a global view for a local one and drops the last local view, and this does not copy that bug; alpha
follows the step, there it is set at the starts of epochs; crops are not shuffled. `data.views` has the strategies.
Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.losses import dino_pairs, feature_std, pairwise_cosine_distance
from massrl.methods.base import Method, Needs, register
from massrl.methods.dino import DINO
from massrl.nn import Target, mlp, projector
from massrl.optim import OptimConfig

Shape = Literal["constant", "steps", "cosine"]


def alpha_at(progress: float, alpha: float, shape: Shape) -> float:
    """The weight of the global pairs after a fraction `progress` of the run."""
    if shape == "steps":
        return 0.5 if progress < 0.3 else 0.8 if progress < 0.9 else 1.0
    return alpha * (math.cos(math.pi * progress) + 1) / 2 if shape == "cosine" else alpha


def check_alpha(alpha: float, shape: str) -> None:
    """Raise a ConfigError for an alpha outside 0..1 and for an unknown shape of its schedule."""
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha is {alpha}; it must lie from 0 (local views only) to 1 (global views only)")
    if shape not in ("constant", "steps", "cosine"):
        raise ConfigError(f"alpha_schedule is {shape!r}; choose one of constant, steps, cosine")


def weighted(pairs: Tensor, alpha: float, reduction: str = "mean") -> Tensor:
    """The weighted mean (or sum) of the distances of target views and online views, as a scalar.

    pairs: (G, V), row q is global view q of the target, column v is online view v, global ones first. A pair of two
    global views has the weight alpha, one with a local view 1 - alpha, and a view with itself 0.
    """
    G, V = pairs.shape
    alpha = 1.0 if V == G else alpha
    itself = torch.eye(G, dtype=torch.bool, device=pairs.device)
    among = pairs[:, :G].masked_fill(itself, 0.0)  # not indexed by a mask, for which the host would wait
    total = alpha * among.sum() + (1 - alpha) * pairs[:, G:].sum()
    weights = alpha * G * (G - 1) + (1 - alpha) * (V - G) * G
    return total if reduction == "sum" else total / weights


@register
class MVMASSRL(Method):
    """Multi-view MASSRL: several strategies on global and local crops, with BYOL's loss; for ResNets.

    Args:
        hidden_dim: hidden width of projector and predictor.
        out_dim: width of embedding and prediction.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end, reached on a cosine.
        alpha: weight of the pairs of global views; pairs with a local view have 1 - alpha.
        alpha_schedule: how alpha changes over the run; steps uses 0.5, 0.8 and 1 in its place.
        reduction: weighted mean over the pairs, or their sum as in the authors' code.
        projector_norm: BatchNorm without scale and shift on the projector's output.
    """

    needs = Needs(global_views=2, or_more=True, local_views=True)
    default_views = "mv_massrl"
    default_optim = OptimConfig(name="lars", base_lr=0.4, weight_decay=1e-6, warmup_epochs=10)
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 4096,
        out_dim: int = 256,
        ema: float = 0.99,
        ema_end: float = 1.0,
        alpha: float = 0.4,
        alpha_schedule: Literal["constant", "steps", "cosine"] = "constant",
        reduction: Literal["mean", "sum"] = "mean",
        projector_norm: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        check_alpha(alpha, alpha_schedule)
        if reduction not in ("mean", "sum"):
            raise ConfigError(f"reduction is {reduction!r}; choose one of mean, sum")
        self.alpha, self.alpha_schedule, self.reduction = alpha, alpha_schedule, reduction
        self.projector = projector(self.num_features, hidden_dim, out_dim, norm=projector_norm)
        self.predictor = mlp(out_dim, hidden_dim, out_dim, last_bias=False)
        self.target = self.make_target(ema, ema_end)

    def loss(self, batch: Batch) -> Tensor:
        globals_ = batch.global_views
        z = self.embed([*globals_, *batch.local_views])  # V of (B, D), globals first
        p = torch.stack(self.over(self.predictor, z))  # (V, B, D)
        with torch.no_grad():
            z_target = torch.stack(self.embed(globals_, through=self.target))  # (G, B, D)
        self.log("z_std", feature_std(z[0]))
        pairs = pairwise_cosine_distance(p, z_target).T  # (G, V)
        return weighted(pairs, alpha_at(self.progress, self.alpha, self.alpha_schedule), self.reduction)


@register
class MVMASSRLDINO(DINO):
    """Multi-view MASSRL: several strategies on global and local crops, with DINO's loss; for ViTs.

    Args:
        hidden_dim: hidden width of the head, which has three layers and the prototypes.
        bottleneck_dim: width before the prototypes.
        out_dim: number of prototypes.
        freeze_epochs: epochs at the start in which the prototypes are not trained; 0 as in the authors' code.
        alpha: weight of the pairs of global views; pairs with a local view have 1 - alpha.
        alpha_schedule: how alpha changes over the run; steps uses 0.5, 0.8 and 1 in its place.
    """

    default_views = "mv_massrl_dino"
    default_optim = OptimConfig(
        name="adamw",
        base_lr=5e-4,
        weight_decay=4e-4,
        weight_decay_end=0.04,
        warmup_epochs=10,
        final_lr=5e-3,  # 1e-5 for a batch of 1024
        clip_norm=3.0,
    )

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        out_dim: int = 65536,
        freeze_epochs: float = 0,
        alpha: float = 0.5,
        alpha_schedule: Literal["constant", "steps", "cosine"] = "constant",
        **more,
    ):
        super().__init__(
            backbone,
            hidden_dim=hidden_dim,
            bottleneck_dim=bottleneck_dim,
            out_dim=out_dim,
            freeze_epochs=freeze_epochs,
            **more,
        )
        check_alpha(alpha, alpha_schedule)
        self.alpha, self.alpha_schedule = alpha, alpha_schedule

    def loss(self, batch: Batch) -> Tensor:
        online, target = self.logits(batch)
        pairs = dino_pairs(online, target, self.centre, self.tau, self.tau_now)  # (G, V)
        loss = weighted(pairs, alpha_at(self.progress, self.alpha, self.alpha_schedule))
        self.move_centre(target)
        return loss
