"""What all methods share: views in, a loss out, a target that follows.

A method says what it needs, makes its heads, and returns a scalar from `loss(batch)`. How it is trained: training.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.config.arguments import Remembers
from data_loading.config.registry import Registry
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl import backbones
from massrl.distributed import world_size
from massrl.methods.training import Training
from massrl.nn import FeatureQueue, Target, stack_views
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


class Method(Remembers, Training):
    """A self-supervised method: a backbone, the method's heads, and `loss(batch)`.

    Args:
        backbone: name of an encoder, or a module (B, 3, H, W) -> (B, F) with `num_features` = F.
        backbone_args: of the encoder: `stem` (cifar suits images of at most 64 pixels), `in_chans`, `weights` or
            `pretrained` to start from, and what its constructor takes.
        optim: what differs from the method's own recipe.
        bn_over: whether BatchNorm sees each view alone or all views of a size at once; None as the authors' code.
        ema_buffers: the target network's running statistics follow the online network's too, in place of its own.
        channels_last: keep the backbone's convolutions in the memory format that is faster for them.
        compile: run the backbone, and the target's, through torch.compile during training.
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
        ema_buffers: bool = False,
        channels_last: bool = True,
        compile: bool = False,
    ):
        super().__init__()
        named = isinstance(backbone, str)
        if not named and backbone_args:
            raise ConfigError("backbone_args fit a backbone given by name; this one is a module already")
        self.backbone = backbones.build(backbone, **(backbone_args or {})) if named else backbone
        if channels_last:
            self.backbone.to(memory_format=torch.channels_last)
        self.num_features = backbones.width_of(self.backbone)
        self.explicit_warmup = optim.warmup_epochs is not None
        self.optim = optim.filled(self.default_optim)
        self.optim.check()
        self.bn_over = bn_over or self.default_bn_over
        if self.bn_over not in ("view", "all"):
            raise ConfigError(f"bn_over is {bn_over!r}; choose one of view, all")
        if ema_buffers and not self.targets:
            raise ConfigError(f"{type(self).__name__} has no target network; leave ema_buffers out")
        self.ema_buffers, self.compiled = ema_buffers, compile
        self.schedule: Schedule | None = None
        self.target: Target | None = None  # not on the class: that would hide the module set by a method
        self._features: Tensor | None = None

    # ---- what a method overrides

    @classmethod
    def views_for(cls, **init_args: Any) -> str:
        """The default view set of a method made with these arguments: the command line asks before it makes one."""
        return cls.default_views

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise."""
        raise NotImplementedError

    @property
    def encoder(self) -> nn.Module:
        """What is kept after training, images (B, 3, H, W) -> features (B, F): the backbone."""
        return self.backbone

    @property
    def layer(self) -> str:
        """What `encoder` ends with, for records."""
        return "backbone"

    def check_batch(self, batch: Batch) -> None:
        """Refuse a batch that the method cannot take, with a ConfigError; called with the first one."""

    def check_labels(self, labels: Tensor) -> None:
        """Refuse labels (N,), -1 for none, that the method cannot take, with a ConfigError; called where it needs some,
        before the first step: with those of all training images, or the first batch's where the loader has no file."""
        missing = int((labels < 0).sum())
        if missing:
            found = "these data have none" if missing == len(labels) else f"{missing} of {len(labels)} images have none"
            raise ConfigError(
                f"{type(self).__name__} needs labels, and {found}; set data.train to a folder of class folders or to a "
                "file with an integer field named label, or give them to Batch.from_views(views, labels)"
            )

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
        self.keep_features(h[0])
        return h

    def keep_features(self, h: Tensor) -> None:
        """What the probes get: (B, F) of the first view, as `encoder` gives it."""
        self._features = h.detach()

    def embed(self, views: Sequence[Tensor], through: nn.Module | None = None) -> list[Tensor]:
        """Embeddings (B, D) of each view by the online network, or through the target network."""
        if through is not None:
            return self.over(through, views)
        return self.over(self.projector, self.encode(views))

    def make_target(self, ema: float, end: float = 1.0) -> Target:
        """Momentum copies of `targets`, as they are now; their rate goes on a cosine from ema to `end`."""
        for name, rate in (("ema", ema), ("ema_end", end)):
            if not 0 <= rate <= 1:
                raise ConfigError(
                    f"{name} is {rate}; it must lie from 0 (the target is the online network) to 1 (it never moves)"
                )
        self.ema, self.ema_end = ema, end
        return Target(**{name: getattr(self, name) for name in self.targets})

    def move_target(self, ema: float) -> None:
        """target <- ema target + (1 - ema) online."""
        self.target.update(ema, self.ema_buffers, **{name: getattr(self, name) for name in self.targets})

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F)."""
        return self.encoder(x)


def check_tau(tau: float, name: str = "tau") -> float:
    """A temperature, or a ConfigError where it is none."""
    if not 0 < tau < math.inf:
        raise ConfigError(f"{name} is {tau}; a temperature must be above 0")
    return tau


def check_queue(queue: FeatureQueue, batch: Batch) -> None:
    """Refuse a queue that is smaller than the global batch: it would hold a part of the last one only."""
    images = len(batch) * world_size()
    if len(queue) < images:
        raise ConfigError(
            f"queue_size is {len(queue)}, smaller than the global batch of {images} images; set queue_size to {images} "
            "or more, or data.batch_size lower"
        )
