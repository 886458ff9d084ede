"""How a method is trained: one optimiser, one schedule, checks before the first step, what a checkpoint holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision, MixedPrecision
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.config.arguments import with_defaults
from data_loading.errors import ConfigError
from data_loading.loading.loader import Loader
from massrl import optim
from massrl.distributed import world_size
from massrl.methods.sizes import check_sizes
from massrl.optim import Schedule
from massrl.runs.checkpoint import hyper_parameters


class Training(pl.LightningModule):
    """The training of a Method, which has `loss`, `optim`, `target` and the like."""

    schedule: Schedule | None = None  # known from the first batch on

    @property
    def init_args(self) -> dict[str, Any]:
        """The constructor's arguments by name, with the defaults of the class's own."""
        return with_defaults(type(self).__init__, self.given)

    @property
    def step(self) -> int:
        """Optimiser steps done; 0 without a Trainer."""
        return 0 if self.schedule is None else self.trainer.global_step

    @property
    def progress(self) -> float:
        """The same as a fraction of the run; 0 without a Trainer."""
        return 0.0 if self.schedule is None else min(1.0, self.step / self.schedule.total)

    @property
    def steps_done(self) -> float:
        """The same; without a Trainer infinite: past every warm-up."""
        return math.inf if self.schedule is None else self.step

    @property
    def epochs_done(self) -> float:
        """The same in epochs; infinite without a Trainer."""
        return math.inf if self.schedule is None else self.steps_done / self.schedule.per_epoch

    def log(self, name: str, value: Any, **kwargs: Any) -> None:
        """As Lightning's, but silent where a loss is called without a running Trainer."""
        if self._trainer is not None and self._trainer.state.stage is not None:
            super().log(name, value, **kwargs)

    def frozen(self) -> Iterable[nn.Parameter]:
        """Parameters that stay as they are in this step, as a last layer in the first epoch."""
        return ()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self.schedule is None:
            self._begin(batch)
        if len(batch) < 2:  # the last one may be smaller
            raise ConfigError(
                "a batch has 1 image; BatchNorm and the comparison of images need at least 2: set data.batch_size to 2 "
                "or more, or drop_last=True of a DataLoader of yours, whose last batch is smaller"
            )

    def on_fit_start(self) -> None:
        self.schedule = None  # another fit may have another length or batch
        if isinstance(self.trainer.precision_plugin, HalfPrecision | DoublePrecision):  # which cast a whole batch
            raise ConfigError(
                f"trainer.precision is {self.trainer.precision}; methods keep their weights in float32: take "
                "bf16-mixed, 16-mixed or 32-true"
            )
        if self.compiled:
            for backbone in self._backbones():
                backbone.compile()

    def on_fit_end(self) -> None:
        for backbone in self._backbones():
            backbone._compiled_call_impl = None  # what nn.Module.compile sets, and has no word for taking back

    def _backbones(self) -> list[nn.Module]:
        """The online one and the target's, where there is one."""
        return [self.backbone, *([self.target.parts["backbone"]] if self.target else [])]

    def _begin(self, batch: Batch) -> None:
        """Check the first batch, and settle length and learning rate: only now are they known."""
        if not isinstance(batch, Batch):
            raise ConfigError(
                f"a training step takes a Batch, got {type(batch).__name__}; make one of what the loader yields, in "
                "its collate_fn: Batch.from_views([x1, x2], labels)"
            )
        self.check(batch.view_set or batch.layout)
        for kind in {x.dtype for x in batch.views if not x.is_floating_point()}:
            raise ConfigError(
                f"views are {str(kind).removeprefix('torch.')}, not normalised floats; leave data.dtype at float32, "
                "or make them so, (x / 255 - mean) / std, before Batch.from_views or in on_after_batch_transfer"
            )
        if self.target is not None:
            self.target.check()
        if self.needs.labels:
            loader = self.trainer.train_dataloader
            whole = isinstance(loader, Loader)
            self.check_labels(torch.from_numpy(loader.reader.labels[loader.indices]) if whole else batch.labels)
        with self.trainer.precision_plugin.forward_context():
            check_sizes(self.backbone, batch, self.num_features)
        self.check_batch(batch)
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
        c = self.optim
        parts = [(predictor, c.predictor_lr, c.predictor_schedule)] if predictor is not None else []
        groups = optim.parameter_groups([*parts, (self, 1.0, None)], c.weight_decay, c.bias_lr)
        return optim.optimizer(c, groups, fused=self._may_fuse())

    def _may_fuse(self) -> bool:
        """torch's fused SGD fails where only some parameters have moved before, as after a rest (`frozen`). A fused
        optimiser takes the float16 scale out of the gradients itself, too late to clip them; and Lightning
        refuses it where it clips under mixed precision, bfloat16 too."""
        if self.optim.name == "sgd" and type(self).frozen is not Training.frozen:
            return False
        if self._trainer is None or not isinstance(self.trainer.precision_plugin, MixedPrecision):
            return True
        return self.trainer.precision_plugin.scaler is None and not self.trainer.gradient_clip_val

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        for p in self.frozen():
            p.grad = None
        if self.optim.clip_norm:
            optim.clip_each(self.parameters(), self.optim.clip_norm)

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        step = self.trainer.global_step  # optimiser steps done before this one, also under accumulation
        for group in optimizer.param_groups:
            group["lr"] = group["factor"] * self.schedule.lr(step, group["schedule"])
            group["weight_decay"] = self.schedule.weight_decay(step) if group["adapt"] else 0.0
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.target is not None:  # once per optimiser step, after it
            self.move_target(optim.cosine(step, self.schedule.total, self.ema, self.ema_end))

    # ---- checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["hyper_parameters"] = hyper_parameters(self)
