"""DINO: every view's distribution over prototypes follows the target network's on the global views; no labels.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, arXiv:2104.14294.
    L = mean over global views q and all views v != q of -sum_k P_q^k log softmax(s_v / tau)^k      (eq. 3)
    P_q = softmax((t_q - c) / tau_t)      c <- m c + (1 - m) mean of t over the batch      (eq. 4)
    target <- l target + (1 - l) online      l from 0.996 to 1 on a cosine      (sec. 3.1)
Differs from the paper: nothing known; the target's temperature rises from 0.04 to 0.07 over 30 epochs (appendix D; the
authors' code keeps 0.04 unless told). As in that code the last layer is not trained in the first epoch and the gradient
of each parameter is clipped to norm 3 (`optim.clip_norm`); drop path is the backbone's (`backbone_args:
{drop_path_rate: 0.1}`), and none in the target. `encoder` is the target's backbone, which the authors evaluate.
Collapse shows as target_entropy and marginal_entropy -> log(out_dim), all prototypes alike, or -> 0, one for all; and
as z_std -> 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from massrl.distributed import mean_over_ranks
from massrl.losses import dino, feature_std
from massrl.methods.base import Method, Needs, check_tau, register
from massrl.nn import CosinePrototypes, Target, mlp
from massrl.optim import OptimConfig


@register
class DINO(Method):
    """DINO: every view's distribution over prototypes follows the target network's on the global views; no labels.

    Args:
        hidden_dim: hidden width of the head, which has three layers and the prototypes.
        bottleneck_dim: width before the prototypes.
        out_dim: number of prototypes.
        head_norm: BatchNorm in the head.
        norm_last_layer: prototypes of norm 1; False learns their norm.
        tau: temperature of the online network.
        tau_target: temperature of the target network.
        tau_target_start: temperature of the target network at the first step.
        tau_warmup_epochs: epochs over which the target's temperature rises.
        centre_momentum: m of eq. 4.
        freeze_epochs: epochs at the start in which the prototypes are not trained.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end, reached on a cosine.
    """

    needs = Needs(global_views=2, or_more=True, local_views=True)
    default_views = "dino_multicrop"
    default_optim = OptimConfig(
        name="adamw",
        base_lr=5e-4,
        weight_decay=0.04,
        weight_decay_end=0.4,
        warmup_epochs=10,
        final_lr=5e-4,  # 1e-6 for a batch of 1024
        clip_norm=3.0,
    )
    default_bn_over = "all"
    targets = ("backbone", "projector", "prototypes")
    evaluated = "target"
    target: Target
    centre: Tensor  # (out_dim,), subtracted from the target's logits
    equal_on_ranks = ("centre",)  # a mean over all processes

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        out_dim: int = 65536,
        head_norm: bool = False,
        norm_last_layer: bool = True,
        tau: float = 0.1,
        tau_target: float = 0.07,
        tau_target_start: float = 0.04,
        tau_warmup_epochs: float = 30,
        centre_momentum: float = 0.9,
        freeze_epochs: float = 1,
        ema: float = 0.996,
        ema_end: float = 1.0,
        **common,
    ):
        super().__init__(backbone, **common)
        if not 0 <= centre_momentum <= 1:
            raise ConfigError(f"centre_momentum is {centre_momentum}; it must lie from 0 to 1")
        self.tau, self.tau_target = check_tau(tau), check_tau(tau_target, "tau_target")
        self.tau_target_start = check_tau(tau_target_start, "tau_target_start")
        self.tau_warmup_epochs, self.freeze_epochs = tau_warmup_epochs, freeze_epochs
        self.centre_momentum = centre_momentum
        widths = (self.num_features, hidden_dim, hidden_dim, bottleneck_dim)
        self.projector = mlp(*widths, norm=head_norm, activation=nn.GELU)
        for layer in self.projector:
            if isinstance(layer, nn.Linear):  # as in a ViT
                nn.init.trunc_normal_(layer.weight, std=0.02)
                _ = layer.bias is None or nn.init.zeros_(layer.bias)
        self.prototypes = CosinePrototypes(bottleneck_dim, out_dim, learn_norm=not norm_last_layer)
        self.target = self.make_target(ema, ema_end)
        self.register_buffer("centre", torch.zeros(out_dim))

    def frozen(self) -> Iterable[nn.Parameter]:
        return self.prototypes.parameters() if self.epochs_done < self.freeze_epochs else ()

    @property
    def tau_now(self) -> float:
        """The target's temperature in this step; tau_target outside a fit."""
        risen = min(1.0, self.epochs_done / self.tau_warmup_epochs) if self.tau_warmup_epochs else 1.0
        return self.tau_target_start + risen * (self.tau_target - self.tau_target_start)

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits over the K prototypes: the online network's on all views (V, B, K), the G global ones first, and the
        target's on the global views (G, B, K), without gradient."""
        globals_ = batch.global_views
        z = self.embed([*globals_, *batch.local_views])  # V of (B, D)
        online = torch.stack(self.over(self.prototypes, z))  # (V, B, K)
        with torch.no_grad():
            target = torch.stack(self.embed(globals_, through=self.target))  # (G, B, K)
            self.keep_targets(((target[0].float() - self.centre) / self.tau_now).softmax(-1))
        self.log("z_std", feature_std(z[0]))
        return online, target

    @torch.no_grad()
    def move_centre(self, target: Tensor) -> None:
        """c <- m c + (1 - m) mean of the target's logits over views, images and processes      (eq. 4)"""
        if self.training:
            mean = mean_over_ranks(target.to(self.centre.dtype).mean((0, 1)))
            self.centre.lerp_(mean, 1 - self.centre_momentum)

    def loss(self, batch: Batch) -> Tensor:
        online, target = self.logits(batch)
        loss = dino(online, target, self.centre, self.tau, self.tau_now)  # eq. 3
        self.move_centre(target)
        return loss
