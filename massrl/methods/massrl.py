"""MASSRL: BYOL over views of several augmentation strategies, every view predicting every other.

Tran et al., "Multi-Augmentation for Efficient Visual Representation Learning for Self-supervised Pre-training",
2022, arXiv:2205.11772.
    L = mean over ordered pairs (i, j), j != i, of  2 - 2 cos(p_i, sg z'_j)      views i, j = crops x strategies
    target <- m target + (1 - m) online      m = 1 - (1 - m0) (cos(pi k / K) + 1) / 2, k of K steps      (as BYOL)
Differs from the paper: its full text was not at hand. The default is near the authors' PyTorch code: two crops, each
under four strategies, all pairs; but their mean, and every strategy flips. `preset` gives one of three published forms,
as far as `pairs`, `reduction` and the view set reach. What they are, and what else their code does:
    figure      For each of two crops one strategy is sampled. L = d(1, 2') + d(2, 1'), as BYOL. After the framework
                figure.
    pytorch     Both crops under all four strategies. L = sum over the 56 ordered pairs of 8 views. The code shuffles
                the views of each sample, so that its BatchNorm sees strategies mixed (here one at a time); it leaves
                two strategies without normalisation; all linear layers have a bias. Its heads: `massl` has the
                default ones, `massl_edit` has hidden_layers 2 and out_dim 512. Its optimiser is the default one.
    tensorflow  SimCLR twice and AutoAugment on top of SimCLR twice, each on a crop of its own, paired within a
                strategy. L = (L12 + L21) / 2, L12 = 2 - 2 [w cos(p1, z2') + (1 - w) cos(p3, z4')], w = 1/2: the mean
                of the four pairs. The code moves the target every fourth step only, from ema 0.996, with its running
                statistics (`ema_buffers`), and trains on 200 images a step.
Under LARS a sum in place of a mean changes the steps of biases and norms only. With `data.views: massrl_2`, which
samples a strategy for each of two crops, a step costs what BYOL's does. MASSRL's idea is the view set: any method that
takes more than two views takes it. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)) and loss -> 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from data_loading.batch import UNNAMED, Batch
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl.losses import feature_std, pairwise_cosine_distance
from massrl.methods.base import Method, Needs, register
from massrl.nn import Target, mlp
from massrl.optim import OptimConfig


def label(view: View) -> str:
    """A view's name without the crop's number, as `simclr` of `simclr.0`; it differs for two strategies of one name."""
    return view.name.rpartition(".")[0]


PAIRS = {
    "all": lambda a, b: True,
    "cross_crop": lambda a, b: a.crop != b.crop,
    "within_strategy": lambda a, b: label(a) == label(b),
}
REDUCTIONS = ("mean", "sum")
PRESETS = {  # name -> pairs, reduction, view set
    "figure": ("all", "sum", "massrl_figure"),
    "pytorch": ("all", "sum", "massrl_pytorch"),
    "tensorflow": ("within_strategy", "mean", "massrl_tensorflow"),
    None: ("all", "mean", "massrl"),
}


@register
class MASSRL(Method):
    """MASSRL: BYOL over views of several augmentation strategies, every view predicting every other.

    Args:
        hidden_dim: hidden width of projector and predictor.
        out_dim: width of embedding and prediction.
        hidden_layers: hidden layers of projector and predictor.
        ema: momentum of the target at the first step.
        ema_end: momentum of the target at the end, reached on a cosine; equal to ema keeps it constant.
        preset: a published form of the method, which sets pairs, reduction and the view set unless they are given.
        pairs: which views predict each other: all, those of different crops, or those of one strategy.
        reduction: mean over the pairs, or sum.
        projector_norm: BatchNorm without scale and shift on the projector's output.
    """

    needs = Needs(global_views=2, or_more=True)
    default_views = "massrl"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)
    targets = ("backbone", "projector")
    target: Target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 4096,
        out_dim: int = 256,
        hidden_layers: int = 1,
        ema: float = 0.99,
        ema_end: float = 1.0,
        preset: Literal["figure", "pytorch", "tensorflow"] | None = None,
        pairs: Literal["all", "cross_crop", "within_strategy"] | None = None,
        reduction: Literal["mean", "sum"] | None = None,
        projector_norm: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        if preset not in PRESETS:
            raise ConfigError(
                f"preset is {preset!r}; choose one of {', '.join(filter(None, PRESETS))}, or leave it out"
            )
        self.preset = preset
        self.pairs, self.reduction = pairs or PRESETS[preset][0], reduction or PRESETS[preset][1]
        self.default_views = self.views_for(preset=preset)
        if self.pairs not in PAIRS:
            raise ConfigError(f"pairs is {pairs!r}; choose one of {', '.join(PAIRS)}")
        if self.reduction not in REDUCTIONS:
            raise ConfigError(f"reduction is {reduction!r}; choose one of {', '.join(REDUCTIONS)}")
        if hidden_layers < 1:
            raise ConfigError(f"hidden_layers is {hidden_layers}; a head has at least 1")
        hidden = [hidden_dim] * hidden_layers
        self.projector = mlp(
            self.num_features, *hidden, out_dim, last_norm=projector_norm, last_affine=False, last_bias=False
        )
        self.predictor = mlp(out_dim, *hidden, out_dim, last_bias=False)
        self.target = self.make_target(ema, ema_end)

    @classmethod
    def views_for(cls, preset: str | None = None, **init_args) -> str:
        return PRESETS[preset][2]

    def mask(self, views: Sequence[View]) -> Tensor:
        """(V, V) bool, True at [i, j] if online view i predicts target view j."""
        chosen = PAIRS[self.pairs]
        return torch.tensor([[i != j and chosen(a, b) for j, b in enumerate(views)] for i, a in enumerate(views)])

    def check(self, views: ViewSet | Sequence[View]) -> None:
        super().check(views)
        if self.pairs == "within_strategy" and isinstance(views, ViewSet) and views.assign == "drawn":
            raise ConfigError("pairs is 'within_strategy', and strategies are sampled anew for each image; use 'all'")
        views = views.views if isinstance(views, ViewSet) else views
        if self.pairs == "within_strategy" and len(views) > 2 and {view.strategy for view in views} == {UNNAMED}:
            raise ConfigError(
                "pairs is 'within_strategy', and the views do not say their strategies; name one for each view: "
                "Batch.from_views(views, labels, strategies=[...])"
            )
        if not self.mask(views).any():
            raise ConfigError(
                f"pairs is {self.pairs!r}, and no two of the {len(views)} views are such a pair; use crops: 2"
            )

    def loss(self, batch: Batch) -> Tensor:
        views = batch.global_views
        z = self.embed(views)  # V of (B, D)
        p = self.over(self.predictor, z)  # V of (B, D)
        with torch.no_grad():
            z_target = self.embed(views, through=self.target)  # V of (B, D)
        self.log("z_std", feature_std(z[0]))
        distance = pairwise_cosine_distance(torch.stack(p), torch.stack(z_target))  # (V, V)
        mask = self.mask([view for view in batch.layout if view.role == "global"])  # on the host
        # A masked sum, and a copy of a few bytes that is not waited for: indexing by a mask would wait for a GPU.
        total = distance.masked_fill(~mask.to(distance.device, non_blocking=True), 0.0).sum()
        return total / mask.sum() if self.reduction == "mean" else total
