"""What the training of a method needs beside the method: checks before the first step, the schedule, the optimiser."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import nn

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from data_loading.loading.loader import Loader
from massrl import optim
from massrl.methods.checks import check_floats, check_type
from massrl.methods.pace import Pace
from massrl.methods.sizes import check_sizes
from massrl.optim import OPEN_END, Schedule, timer_of

if TYPE_CHECKING:
    from massrl.methods.base import Method

rank_zero_info = pl.utilities.rank_zero_info


def begin(method: Method, batch: Batch) -> None:
    """Check the first batch of a fit, and set `method.schedule`: length and learning rate are known only now.

    Raises ConfigError where the views, labels or batch do not suit the method or its backbone, and where the Trainer's
    settings give the run no length.
    """
    check_type(batch)
    method.check(batch.view_set or batch.layout)
    check_floats(batch)
    if method.target is not None:
        method.target.check()
    trainer = method.trainer
    _check_overfit(trainer)
    if method.needs.labels:
        loader = trainer.train_dataloader
        if isinstance(loader, Loader):
            method.check_labels(torch.from_numpy(loader.reader.labels[loader.indices]))
        else:
            method.check_labels(batch.labels)
    with trainer.precision_plugin.forward_context():
        check_sizes(method.backbone, batch, method.num_features, sides_of(trainer))
    method.check_batch(batch)
    images = getattr(trainer.train_dataloader, "batch_size", None) or len(batch)
    method.schedule = Schedule.of(trainer, method.optim, images, method.explicit_warmup, method._epochs)
    method._pace = Pace(timer_of(trainer), trainer.global_step) if method.schedule.total == OPEN_END else None
    rank_zero_info(method.schedule.sentence)


def sides_of(trainer: pl.Trainer) -> list[int]:
    """Sides in pixels of the global views by epoch, where the training loader's grow; else []."""
    loader = trainer.train_dataloader
    sizes = loader.sizes if isinstance(loader, Loader) else {}
    return [side for side in sizes.values() if side is not None] if len(sizes) > 1 else []


def _check_overfit(trainer: pl.Trainer) -> None:
    """Refuse to overfit batches that are others in each epoch: Lightning orders the samplers of DataLoaders alone."""
    loader = trainer.train_dataloader
    if getattr(trainer, "overfit_batches", 0) and isinstance(loader, Loader) and loader.order != "sequential":
        raise ConfigError(
            f"trainer.overfit_batches takes the first batches of each epoch, and in the order {loader.order!r} of this "
            "Loader they are others each time; make it with order='sequential', or give the Trainer a BetonDataModule"
        )


def keep_pace(method: Method, batch_idx: int) -> None:
    """In a run that only trainer.max_time ends: fit the schedule to the steps that are left by the time they take."""
    trainer, schedule = method.trainer, method.schedule
    assert method._pace is not None and schedule is not None  # begin sets both
    total = method._pace.total(trainer.global_step, batch_idx)
    if total is not None:  # on every process in the same step; each has its own clock, and the first one's counts
        total = trainer.strategy.broadcast(total)
        method.schedule = schedule.ending(total)
        if schedule.total == OPEN_END:
            rank_zero_info(f"trainer.max_time ends the run after about {total} steps; {method.schedule.sentence}")


def check_precision(trainer: pl.Trainer) -> None:
    """Refuse precisions in which Lightning casts the weights: a target moves in steps too small for 16 bits."""
    if isinstance(trainer.precision_plugin, pl.plugins.HalfPrecision | pl.plugins.DoublePrecision):
        raise ConfigError(
            f"trainer.precision is {trainer.precision}; methods keep their weights in float32: take "
            "bf16-mixed, 16-mixed or 32-true"
        )


def compile_backbones(method: Method) -> None:
    """Run the backbone, and the target network's, through torch.compile."""
    for backbone in backbones_of(method):
        backbone.compile()


def uncompile_backbones(method: Method) -> None:
    """Let the backbones run as they are written: compiled code differs in the last digits, and cannot be copied."""
    for backbone in backbones_of(method):
        backbone._compiled_call_impl = None  # what nn.Module.compile sets; torch has no function that undoes it


def backbones_of(method: Method) -> list[nn.Module]:
    """The online backbone, and the target network's where there is one."""
    return [method.backbone, *([method.target.parts["backbone"]] if method.target else [])]


def optimizer_for(method: Method) -> torch.optim.Optimizer:
    """The optimiser that `method.optim` names, for the trainable parameters; a predictor has groups of its own."""
    predictor = getattr(method, "predictor", None)
    c = method.optim
    parts: list[tuple[nn.Module, float, str | None]] = []
    if predictor is not None:
        parts.append((predictor, c.predictor_lr, c.predictor_schedule))
    groups = optim.parameter_groups([*parts, (method, 1.0, None)], c.weight_decay, c.bias_lr)
    return optim.optimizer(c, groups, fused=_may_fuse(method))


def _may_fuse(method: Method) -> bool:
    """Whether torch's fused form of the optimiser works.

    Fused SGD fails where only some parameters of a group have moved before, as after `frozen` ones. A fused optimiser
    takes the float16 scale out of the gradients itself, too late to clip them; and Lightning refuses it where it clips
    under mixed precision, bfloat16 too.
    """
    if method.optim.name == "sgd" and type(method).frozen.__qualname__ != "Method.frozen":  # a class overrides it
        return False
    trainer = method._trainer
    if trainer is None or not isinstance(trainer.precision_plugin, pl.plugins.MixedPrecision):
        return True
    return trainer.precision_plugin.scaler is None and not trainer.gradient_clip_val


def sets_lr(trainer: pl.Trainer, optimizer: torch.optim.Optimizer) -> bool:
    """Whether the method's schedule sets the learning rate: the optimiser has groups of ours, and Lightning steps no
    scheduler, as that of a user's configure_optimizers, of StochasticWeightAveraging or of lr_find."""
    return not trainer.lr_scheduler_configs and bool(optim.own_groups(optimizer))


def lr_now(method: Method) -> float:
    """The learning rate of the next optimiser step; of the first group where the schedule does not set it."""
    trainer = method.trainer
    optimizer = next(iter(trainer.optimizers), None)
    if optimizer is None or sets_lr(trainer, optimizer):
        assert method.schedule is not None  # begin sets it
        return method.schedule.lr(trainer.global_step)
    return float(optimizer.param_groups[0]["lr"])


def rates_now(method: Method) -> dict[str, float]:
    """What a training step logs: `lr`, of the next optimiser step, and `ema`, with which the target moves after it.

    `ema` is there in steps that the Trainer logs.
    """
    found, step = {"lr": lr_now(method)}, method.trainer.global_step
    every = method.trainer.log_every_n_steps  # type: ignore[attr-defined]  # which the Trainer's class does not declare
    moves = method.target is not None and method.schedule is not None and hasattr(method, "ema")  # of make_target
    if moves and every > 0 and (step + 1) % every == 0:
        found["ema"] = optim.cosine(step, method.schedule.total, method.ema, method.ema_end)  # type: ignore[union-attr]
    return found


def fix_peak(method: Method, lr: float) -> None:
    """Make `lr` the peak learning rate for any batch, in the method's config, its checkpoints and a running fit."""
    method.optim = dataclasses.replace(method.optim, base_lr=lr, lr_scaling="none")
    method.optim.check()
    given = dataclasses.replace(method.given.get("optim", optim.OWN), base_lr=lr, lr_scaling="none")
    method.given = {**method.given, "optim": given}
    if method.schedule is not None:
        method.schedule = dataclasses.replace(method.schedule, peak=lr, config=method.optim)


def clip_own(optimizer: torch.optim.Optimizer, max_norm: float) -> None:
    """Clip the gradient of each parameter in our groups to `max_norm`, each for itself."""
    optim.clip_each((p for group in optim.own_groups(optimizer) for p in group["params"]), max_norm)
