"""What all methods share: views in, a loss out, one optimiser with one schedule, a target that follows.

A method says what it needs, makes its heads, and returns a scalar from `loss(batch)`. Everything else is here.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.registry import Registry
from data_loading.views import View, ViewSet
from massrl import backbones, optim
from massrl.distributed import world_size
from massrl.nn import Target, stack_views
from massrl.optim import OWN, OptimConfig, Schedule

METHODS = Registry("method")
register = METHODS.register


@dataclass(frozen=True)
class Needs:
    """What a method takes: how many global views (`or_more`), local views, labels."""

    global_views: int = 2
    or_more: bool = False
    local_views: bool = False
    labels: bool = False


class _Remembers:
    """Keeps the arguments of the constructor, for checkpoints. A class above Method, since jsonargparse would read the
    arguments of a class from a `__new__` of its own."""

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        defaults = {p.name: p.default for p in named if p.default is not p.empty}
        self.init_args = {**defaults, **dict(zip((p.name for p in named), args, strict=False)), **kwargs}
        return self


class Method(_Remembers, pl.LightningModule):
    """A self-supervised method: a backbone, the method's heads, and `loss(batch)`.

    Args:
        backbone: name of an encoder, or a module (B, 3, H, W) -> (B, F) with `num_features` = F.
        backbone_args: passed on to the encoder's constructor; `stem: cifar` suits images of at most 64 pixels.
        optim: what differs from the method's own recipe.
        bn_over: whether BatchNorm sees each view alone or all views of a size at once; None as the authors' code.
    """

    needs = Needs()
    default_views: str = "simclr"
    default_optim = OWN
    default_bn_over: Literal["view", "all"] = "view"
    targets: tuple[str, ...] = ()  # the parts that have a momentum copy in self.target

    def __init__(
        self,
        backbone: str | nn.Module = "resnet18",
        backbone_args: dict[str, Any] | None = None,
        optim: OptimConfig = OWN,
        bn_over: Literal["view", "all"] | None = None,
    ):
        super().__init__()
        named = isinstance(backbone, str)
        if not named and backbone_args:
            raise ConfigError("backbone_args fit a backbone given by name; this one is a module already")
        self.backbone = backbones.build(backbone, **(backbone_args or {})) if named else backbone
        self.num_features = backbones.width_of(self.backbone)
        self.explicit_warmup = optim.warmup_epochs is not None
        self.optim = optim.filled(self.default_optim)
        self.optim.check()
        self.bn_over = bn_over or self.default_bn_over
        if self.bn_over not in ("view", "all"):
            raise ConfigError(f"bn_over is {bn_over!r}; choose one of view, all")
        self.schedule: Schedule | None = None
        self.target: Target | None = None  # not on the class: that would hide the module set by a method
        self._features: Tensor | None = None

    # ---- what a method overrides

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        raise NotImplementedError

    def check(self, views: ViewSet | Sequence[View]) -> None:
        """Refuse views that the method cannot take, with a ConfigError; called before the first step."""
        views = views.views if isinstance(views, ViewSet) else views
        found = {role: sum(v.role == role for v in views) for role in ("global", "local")}
        n, need, me = found["global"], self.needs, type(self).__name__
        if n < need.global_views or (n > need.global_views and not need.or_more):
            wanted = f"{need.global_views}{' or more' if need.or_more else ''}"
            raise ConfigError(
                f"{me} takes {wanted} global views, the view set has {n}; data.views: {self.default_views} fits"
            )
        if found["local"] and not need.local_views:
            raise ConfigError(
                f"{me} takes no local views, the view set has {found['local']}; set local: 0 in data.views"
            )

    # ---- what a method uses

    def over(self, network: Callable[[Tensor], Tensor], xs: Sequence[Tensor]) -> list[Tensor]:
        """network on each of xs, alone or all of one shape in one forward, as `bn_over` says."""
        if self.bn_over == "view":
            return [network(x) for x in xs]
        out: list[Tensor | None] = [None] * len(xs)
        for shape in dict.fromkeys(x.shape for x in xs):
            at = [i for i, x in enumerate(xs) if x.shape == shape]
            for i, y in zip(at, network(stack_views([xs[i] for i in at])).chunk(len(at)), strict=True):
                out[i] = y
        return out

    def encode(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Features (B, F) of each view; those of the first are kept, detached, for probes."""
        h = self.over(self.backbone, views)
        if self._features is None:
            self._features = h[0].detach()
        return h

    def embed(self, views: Sequence[Tensor], through: nn.Module | None = None) -> list[Tensor]:
        """Embeddings (B, D) of each view by the online network, or through the target network."""
        if through is not None:
            return self.over(through, views)
        return self.over(self.projector, self.encode(views))

    def make_target(self, ema: float) -> Target:
        """Momentum copies of `targets`, as they are now; their rate goes on a cosine from ema to 1 at the end."""
        if not 0 <= ema <= 1:
            raise ConfigError(
                f"ema is {ema}; it must lie from 0 (the target is the online network) to 1 (it never moves)"
            )
        self.ema = ema
        return Target(**{name: getattr(self, name) for name in self.targets})

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F)."""
        return self.backbone(x)

    def log(self, name: str, value: Any, **kwargs: Any) -> None:
        """As Lightning's, but silent where a loss is called without a running Trainer."""
        if self._trainer is not None and self._trainer.state.stage is not None:
            super().log(name, value, **kwargs)

    # ---- training

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.schedule is None:
            self._begin(batch)

    def on_fit_start(self) -> None:
        self.schedule = None  # another fit may have another length or batch

    def _begin(self, batch: Batch) -> None:
        """Check the first batch, and settle length and learning rate: only now are they known."""
        if not isinstance(batch, Batch):
            raise ConfigError(
                f"a training step takes a Batch, got {type(batch).__name__}; make one with Batch.from_views"
            )
        self.check(batch.view_set or batch.layout)
        if len(batch) < 2:
            raise ConfigError("data.batch_size is 1; BatchNorm and the comparison of images need at least 2")
        if self.needs.labels and (batch.labels < 0).any():
            raise ConfigError(f"{type(self).__name__} needs labels, which these data do not have")
        images = getattr(self.trainer.train_dataloader, "batch_size", None) or len(batch)
        self.schedule = Schedule.of(self.trainer, self.optim, images, self.explicit_warmup)
        rank_zero_info(self.schedule.sentence)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        self._features = None
        loss = self.loss(batch)
        assert self._features is not None, f"{type(self).__name__}.loss must call embed or encode"
        n = len(batch)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=n, sync_dist=world_size() > 1)
        self.log("lr", self.schedule.lr(self.trainer.global_step), batch_size=n)
        return {"loss": loss, "features": self._features}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        predictor = getattr(self, "predictor", None)
        parts = [(predictor, self.optim.predictor_lr)] if predictor is not None else []
        return optim.optimizer(self.optim, optim.parameter_groups([*parts, (self, 1.0)], self.optim.weight_decay))

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        step = self.trainer.global_step  # optimiser steps done before this one, also under accumulation
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * self.schedule.lr(step)
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.target is not None:  # once per optimiser step, after it
            ema = optim.cosine_ema(step, self.schedule.total, self.ema)
            self.target.update(ema, **{name: getattr(self, name) for name in self.targets})

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"] = {
            "method": type(self).__name__,
            "init_args": _plain(self.init_args),
            "resolved": {"optim": _plain(self.optim), "bn_over": self.bn_over},  # what None stood for
        }


def _plain(value: Any) -> Any:
    """Only what torch.load(weights_only=True) takes; a module stands as None, and `load` asks for it."""
    if dataclasses.is_dataclass(value):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, nn.Module):
        return None
    return value
