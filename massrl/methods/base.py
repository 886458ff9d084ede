"""Method: the LightningModule that every self-supervised method is.

A method says which views it needs, makes its heads, and returns a scalar from `loss(batch)`. What is no method is in
the files beside this one: the start of a training and its optimiser (training.py), what is measured on validation
images (validation.py), what is refused (checks.py), and loading (checkpoints.py).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.config.arguments import Remembers, with_defaults
from data_loading.config.lightning_package import pl
from data_loading.config.registry import Registry
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl import backbones
from massrl.distributed import equal_buffers, world_size
from massrl.losses.entropy import Entropies, entropies
from massrl.methods import checks, training, validation
from massrl.methods.checks import check_queue, check_tau
from massrl.methods.pace import Pace
from massrl.nn import Target, stack_views
from massrl.optim import OWN, OptimConfig, Schedule, cosine, set_rates
from massrl.runs.checkpoint import hyper_parameters

__all__ = ["METHODS", "Method", "Needs", "check_queue", "check_tau", "register"]
# What Lightning warns of although it is meant: a run without validation data, and a hook called once a step.
MEANT = (
    r"You defined a `validation_step` but have no `val_dataloader`",
    r"When using `Trainer\(accumulate_grad_batches != 1\)` and overriding `LightningModule.optimizer_",
)
Branch = Literal["online", "target"]
METHODS = Registry("method")
register = METHODS.register


@dataclass(frozen=True)
class Needs:
    """What a method takes: how many global views (or more, with `or_more`), whether local views, whether labels."""

    global_views: int = 2
    or_more: bool = False
    local_views: bool = False
    labels: bool = False


class Method(Remembers, pl.LightningModule):
    """A self-supervised method: a backbone, the method's heads, and `loss(batch)`; Lightning's Trainer trains it.

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

    # Declared without values, which would hide the modules that nn.Module registers.
    backbone: nn.Module  # images (B, 3, H, W) -> features (B, num_features)
    projector: nn.Module  # features -> embeddings (B, D), where a method has one: `embed` runs it
    ema: float  # momentum of the target at the first step, and ema_end at the end: `make_target` sets both
    ema_end: float

    needs = Needs()
    default_views: str = "simclr"
    default_optim = OWN
    default_bn_over: Literal["view", "all"] = "view"
    targets: tuple[str, ...] = ()  # the parts that have a momentum copy in self.target
    evaluated: Branch = "online"  # whose backbone `encoder` is: what the method's authors evaluate
    val_views: tuple[str, ...] = ("train", "eval")  # loaders of validation images: for the loss, and for kNN

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
        checks.check_numbers(self.given)
        if isinstance(backbone, str):
            backbone = backbones.build(backbone, **(backbone_args or {}))
        elif backbone_args:
            raise ConfigError("backbone_args fit a backbone given by name; this one is a module already")
        self.backbone = backbone
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
        self.target: Target | None = None  # not on the class: that would hide the module set by a method
        self.schedule: Schedule | None = None  # of a fit, from its first batch on
        self._pace: Pace | None = None  # of a fit whose length is measured
        self._epochs: int | None = None  # of a fit, before a callback changes the Trainer's
        self._validation = validation.Validation()
        self._logging: validation.Logging | None = None  # while a loss is computed in validation
        self._features: Tensor | None = None
        self._embeddings: list[Tensor] = []
        self._entropies: Entropies | None = None

    # ---- what a method overrides

    @classmethod
    def views_for(cls, **init_args: Any) -> str:
        """The default view set of a method made with these arguments: the command line asks before it makes one."""
        return cls.default_views

    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise. In eval mode, as in validation, it changes no state of the method."""
        raise NotImplementedError

    def frozen(self) -> Iterable[nn.Parameter]:
        """Parameters that this optimiser step leaves as they are, as DINO's last layer in the first epoch."""
        return ()

    @property
    def encoder(self) -> nn.Module:
        """What is kept after training, images (B, 3, H, W) -> features (B, F): the backbone of `evaluated`.

        That of the target network has no gradients (`requires_grad` is False).
        """
        return self.backbone_of(self.evaluated)

    def backbone_of(self, branch: Branch) -> nn.Module:
        """The backbone of the online or of the target network; ConfigError where there is no such network."""
        if branch == "online":
            return self.backbone
        if branch != "target":
            raise ConfigError(f"branch is {branch!r}; choose one of online, target")
        if self.target is None or "backbone" not in self.targets:
            raise ConfigError(f"branch is target, and {type(self).__name__} has no target network; take online")
        return self.target.parts["backbone"]

    @property
    def layer(self) -> str:
        """Name of the encoder's last layer, stored with results."""
        return "backbone"

    def check(self, views: ViewSet | Sequence[View]) -> None:
        """Refuse views that the method cannot take, with a ConfigError; called before the first step."""
        checks.check_views(self, views)

    def check_batch(self, batch: Batch) -> None:
        """Refuse a batch that the method cannot take, with a ConfigError; called with the first one."""

    def check_labels(self, labels: Tensor) -> None:
        """Refuse labels (N,) int64, -1 for none, that the method cannot take, with a ConfigError.

        Called before the first step where the method needs labels: with those of all training images, or of the first
        batch where the loader has no file.
        """
        checks.check_labelled(self, labels)

    # ---- what a method uses

    def over(self, network: Callable[[Tensor], Tensor], xs: Sequence[Tensor]) -> list[Tensor]:
        """network(x) for each x of xs: one forward for each, or for all of one shape together, as `bn_over` says."""
        if self.bn_over == "view":
            return [network(x) for x in xs]
        out = list(xs)  # each is replaced
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
        """Keep features (B, F) of the first view, by the online network, for probes."""
        self._features = h.detach()

    def keep_embeddings(self, z: Sequence[Tensor]) -> None:
        """Keep embeddings (B, D) of each view, those of global views first, for callbacks."""
        self._embeddings = [x.detach() for x in z]

    def keep_targets(self, q: Tensor) -> None:
        """Log the entropies of targets q (B, K) over K prototypes, `target_entropy` and `marginal_entropy`.

        They are kept for callbacks, too; q itself is not. Their difference tends to 0 in a collapse: losses/entropy.py.
        """
        self._entropies = entropies(q)
        self.log("target_entropy", self._entropies.each)
        self.log("marginal_entropy", self._entropies.marginal)

    def embed(self, views: Sequence[Tensor], through: nn.Module | None = None) -> list[Tensor]:
        """Embeddings (B, D) of each view by backbone and projector, or by the network `through`, as the target."""
        if through is not None:
            return self.over(through, views)
        z = self.over(self.projector, self.encode(views))
        self.keep_embeddings(z)
        return z

    def make_target(self, ema: float, end: float = 1.0) -> Target:
        """Momentum copies of `targets`, as they are now; their momentum rises on a cosine from `ema` to `end`."""
        for name, rate in (("ema", ema), ("ema_end", end)):
            if not 0 <= rate <= 1:
                raise ConfigError(
                    f"{name} is {rate}; it must lie from 0 (the target is the online network) to 1 (it never moves)"
                )
        self.ema, self.ema_end = ema, end
        return Target(**{name: getattr(self, name) for name in self.targets})

    def move_target(self, ema: float) -> None:
        """target <- ema target + (1 - ema) online."""
        assert self.target is not None, f"{type(self).__name__} has no target network"
        self.target.update(ema, self.ema_buffers, **{name: getattr(self, name) for name in self.targets})

    @property
    def steps_done(self) -> float:
        """Optimiser steps done in this fit; infinity outside a fit, so that every warm-up counts as over."""
        if self.schedule is None or self._trainer is None:
            return math.inf
        state = self._trainer.state  # its stage is None once the Trainer is done
        return self._trainer.global_step if state.fn == "fit" and state.stage is not None else math.inf

    @property
    def epochs_done(self) -> float:
        """Epochs done, with their fraction; infinity outside a fit."""
        steps, schedule = self.steps_done, self.schedule
        return steps if schedule is None or steps == math.inf else steps / schedule.per_epoch

    @property
    def progress(self) -> float:
        """Fraction of the optimiser steps done, from 0 to 1; 0 outside a fit."""
        steps, schedule = self.steps_done, self.schedule
        return 0.0 if schedule is None or steps == math.inf else min(1.0, steps / schedule.total)

    def log(self, name: str, value: Any, **kwargs: Any) -> None:  # type: ignore[override]  # options by name only
        """Log as Lightning does; do nothing where no Trainer runs, so that `loss` can be called alone.

        What `loss` logs in validation gets the prefix val_, as val_z_std.
        """
        if self._trainer is None or self._trainer.state.stage is None:
            return
        if self._logging is not None:
            name = self._logging.prefix + name
            usual = {"batch_size": self._logging.images, "sync_dist": world_size() > 1, "add_dataloader_idx": False}
            kwargs = {**usual, **kwargs, "on_step": False, "on_epoch": True}
        super().log(name, value, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, 3, H, W) -> features (B, F)."""
        return self.encoder(x)

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """What DistributedDataParallel reads: buffers that it need not send before each step."""
        return equal_buffers(self)

    # ---- what the Trainer calls

    def configure_callbacks(self) -> list[pl.Callback]:
        for message in MEANT:
            warnings.filterwarnings("ignore", message=message)
        return []

    def setup(self, stage: str) -> None:
        # A fit has its own length and batch. StochasticWeightAveraging adds an epoch to max_epochs after this hook.
        self.schedule, self._epochs = None, self.trainer.max_epochs

    def configure_optimizers(self) -> Any:
        """The optimiser of `optim`; a subclass may return its own, which is then left as it is."""
        return training.optimizer_for(self)

    def on_fit_start(self) -> None:
        training.check_precision(self.trainer)
        self.schedule = None  # also where a subclass has a setup of its own
        if not self.training:  # as `load` returns it
            self.train()
        if self.compiled:
            training.compile_backbones(self)

    def on_fit_end(self) -> None:
        training.uncompile_backbones(self)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.schedule is None:
            training.begin(self, batch)
        if self._pace is not None:
            training.keep_pace(self, batch_idx)
        if len(batch) < 2:  # the last one may be smaller
            raise ConfigError(
                "a batch has 1 image; BatchNorm and the comparison of images need at least 2: set data.batch_size to 2 "
                "or more, or drop_last=True of a DataLoader of yours, whose last batch is smaller"
            )

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """The loss, and what it has computed anyway, detached, for callbacks.

        features: (B, F), of the first view.  embeddings: (B, D) of each view, a list, empty where there are none.
        entropies: of the targets over prototypes, where there are such, else None.
        """
        self._features, self._embeddings, self._entropies = None, [], None
        loss = self.loss(batch)
        assert self._features is not None, f"{type(self).__name__}.loss must call embed or encode"
        n = len(batch)
        self.log("loss", loss.detach(), prog_bar=True, batch_size=n, sync_dist=world_size() > 1)
        for name, value in training.rates_now(self).items():
            self.log(name, value, batch_size=n)
        if training.sides_of(self.trainer):
            self.log("size", float(batch.global_views[0].shape[-1]), batch_size=n)
        kept: dict[str, Any] = {"embeddings": self._embeddings, "entropies": self._entropies}
        return {"loss": loss, "features": self._features, **kept}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for p in self.frozen():
            p.grad = None
        if self.optim.clip_norm:
            training.clip_own(optimizer, self.optim.clip_norm)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        step = self.trainer.global_step  # optimiser steps done before this one, also under accumulation
        schedule = cast(Schedule, self.schedule)  # None where a subclass replaces on_train_batch_start: then not read
        set_rates(optimizer, schedule, step, lr=training.sets_lr(self.trainer, optimizer))
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.target is not None:  # once per optimiser step, after it
            self.move_target(cosine(step, schedule.total, self.ema, self.ema_end))

    def on_validation_epoch_start(self) -> None:
        self._validation.restart("val")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """Log val_loss, and keep features for val_knn; what these are: massrl/methods/validation.py.

        Returns the features (B, F) and labels (B,), -1 for none, of a batch that kNN takes, for probes; else None.
        """
        return self._validation.step(self, batch, dataloader_idx, len(self.trainer.num_val_batches))

    def on_validation_epoch_end(self) -> None:
        self._validation.end(self)

    def on_test_epoch_start(self) -> None:
        self._validation.restart("test")

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor] | None:
        """Log test_knn, and test_loss where batches have the views that the loss needs; returns as validation_step."""
        return self._validation.step(self, batch, dataloader_idx, len(self.trainer.num_test_batches))

    on_test_epoch_end = on_validation_epoch_end

    def predict_step(self, batch: Batch, batch_idx: int = 0, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Features (n, F) of the first view, labels (n,) and index (n,) of the n images of a batch, as a dict."""
        return validation.predict(self, batch) if isinstance(batch, Batch) else self(batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"] = hyper_parameters(self)

    # ---- arguments and checkpoints

    @property
    def init_args(self) -> dict[str, Any]:
        """The constructor's arguments by name, with the defaults of the class's own."""
        return with_defaults(type(self).__init__, self.given)

    @property
    def lr(self) -> float:
        """The peak learning rate of the run; before a fit, which scales it by the batch, `optim.base_lr`.

        Setting it fixes the peak, for any batch: base_lr is the value, and lr_scaling is none. So does Lightning's
        `Tuner.lr_find`.
        """
        return self.optim.base_lr if self.schedule is None else self.schedule.peak

    @lr.setter
    def lr(self, value: float) -> None:
        training.fix_peak(self, float(value))

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Any,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **changed: Any,
    ) -> Method:
        """The method of a checkpoint, in eval mode, as from `massrl.load`.

        Only tensors and plain values are unpickled, whatever `weights_only` says. A checkpoint of another class than
        this one and its subclasses raises CheckpointError.

        Args:
            checkpoint_path: the file.
            map_location: device of the weights, as of torch.load; None is the CPU.
            hparams_file: refused, since a checkpoint holds its arguments.
            strict: whether no weights may be missing or left over; None is True.
            weights_only: ignored.
            changed: constructor arguments in place of those in the checkpoint, as a `backbone` that was a module.
        """
        import massrl

        if hparams_file is not None:
            raise ConfigError("hparams_file: a checkpoint of massrl holds its arguments; leave it out")
        backbone, strict = changed.pop("backbone", None), True if strict is None else strict
        return massrl.load(checkpoint_path, cls, backbone, map_location or "cpu", strict=strict, changed=changed)
