"""MASSRL: BYOL over views of several augmentation strategies, every view predicting every other.

Tran et al., "Multi-Augmentation for Efficient Visual Representation Learning for Self-supervised Pre-training",
2022, arXiv:2205.11772.
    L = mean over ordered pairs (i, j), j != i, of  2 - 2 cos(p_i, sg z'_j)      views i, j = crops x strategies
    target <- m target + (1 - m) online      m = 1 - (1 - m0) (cos(pi k / K) + 1) / 2, k of K steps      (as BYOL)
Differs from the paper: its full text was not at hand; this follows the authors' PyTorch code, which sums the pairs
(`reduction="sum"`) and mixes the strategies of a view over the batch. The strategies are the view set's, set in the
data, not here. Collapse shows as z_std -> 0 (healthy: about 1/sqrt(D)) and loss -> 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.views import View, ViewSet
from massrl.losses import feature_std, pairwise_cosine_distance
from massrl.methods.base import Method, Needs, register
from massrl.nn import mlp, projector
from massrl.optim import OptimConfig


def label(view: View) -> str:
    """What stands before the crop's number in a view's name: apart for two strategies of one name."""
    return view.name.rpartition(".")[0]


PAIRS = {
    "all": lambda a, b: True,
    "cross_crop": lambda a, b: a.crop != b.crop,
    "within_strategy": lambda a, b: label(a) == label(b),
}


@register
class MASSRL(Method):
    """MASSRL: BYOL over views of several augmentation strategies, every view predicting every other.

    Args:
        hidden_dim: hidden width of projector and predictor.
        out_dim: width of embedding and prediction.
        ema: momentum of the target at the first step; it reaches 1 on a cosine.
        pairs: which views predict each other: all, those of different crops, or those of one strategy.
        reduction: mean over the pairs, or their sum as in the authors' code.
        projector_norm: BatchNorm without scale and shift on the projector's output.
    """

    needs = Needs(global_views=2, or_more=True)
    default_views = "massrl"
    default_optim = OptimConfig(name="lars", base_lr=0.3, weight_decay=1e-6, warmup_epochs=10)
    targets = ("backbone", "projector")

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        hidden_dim: int = 4096,
        out_dim: int = 256,
        ema: float = 0.99,
        pairs: Literal["all", "cross_crop", "within_strategy"] = "all",
        reduction: Literal["mean", "sum"] = "mean",
        projector_norm: bool = False,
        **common,
    ):
        super().__init__(backbone, **common)
        if pairs not in PAIRS:
            raise ConfigError(f"pairs is {pairs!r}; choose one of {', '.join(PAIRS)}")
        if reduction not in ("mean", "sum"):
            raise ConfigError(f"reduction is {reduction!r}; choose one of mean, sum")
        self.pairs, self.reduction = pairs, reduction
        self.projector = projector(self.num_features, hidden_dim, out_dim, norm=projector_norm)
        self.predictor = mlp(out_dim, hidden_dim, out_dim, last_bias=False)
        self.target = self.make_target(ema)

    def mask(self, views: Sequence[View]) -> Tensor:
        """(V, V) bool: does online view i predict target view j."""
        chosen = PAIRS[self.pairs]
        return torch.tensor([[i != j and chosen(a, b) for j, b in enumerate(views)] for i, a in enumerate(views)])

    def check(self, views: ViewSet | Sequence[View]) -> None:
        super().check(views)
        if self.pairs == "within_strategy" and isinstance(views, ViewSet) and views.assign == "drawn":
            raise ConfigError("pairs is 'within_strategy', and strategies are drawn anew for each sample; use 'all'")
        views = views.views if isinstance(views, ViewSet) else views
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
        terms = distance[self.mask([view for view in batch.layout if view.role == "global"])]
        return terms.mean() if self.reduction == "mean" else terms.sum()
