"""Optimisers, parameter groups, and schedules as closed formulas of the step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from data_loading.errors import ConfigError

if TYPE_CHECKING:
    import pytorch_lightning as pl

REFERENCE_BATCH = 256  # base_lr is stated for this global batch


@dataclass(frozen=True)
class OptimConfig:
    """How a method is optimised; None takes the method's own value.

    Args:
        name: the optimiser.
        base_lr: learning rate for a global batch of 256; it is scaled in proportion to the batch.
        weight_decay: of weights; biases and the parameters of norms have none.
        momentum: of sgd and lars.
        trust: the trust coefficient of lars.
        warmup_epochs: of linear warm-up; a method's own value is cut to a tenth of the run, one set here is not.
        schedule: after warm-up, cosine to 0 or constant.
        predictor_lr: factor on the learning rate of the predictor.
    """

    name: Literal["sgd", "adamw", "lars"] | None = None
    base_lr: float | None = None
    weight_decay: float | None = None
    momentum: float | None = None
    trust: float | None = None
    warmup_epochs: float | None = None
    schedule: Literal["cosine", "constant"] | None = None
    predictor_lr: float | None = None

    def filled(self, default: OptimConfig) -> OptimConfig:
        """This with the default's value wherever it says None; what both leave open is OPEN's."""
        own = [dataclasses.asdict(config) for config in (OPEN, default, self)]
        return OptimConfig(**{k: v for values in own for k, v in values.items() if v is not None})

    def check(self) -> None:
        for name in ("base_lr", "weight_decay", "warmup_epochs", "predictor_lr", "trust"):
            value = getattr(self, name)
            if value < 0 or not math.isfinite(value):
                raise ConfigError(f"optim.{name} is {value}; it must be a number of at least 0")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optim.momentum is {self.momentum}; it must lie from 0 to below 1")
        if self.name not in ("sgd", "adamw", "lars"):
            raise ConfigError(f"optim.name is {self.name!r}; choose one of sgd, adamw, lars")
        if self.schedule not in ("cosine", "constant"):
            raise ConfigError(f"optim.schedule is {self.schedule!r}; choose one of cosine, constant")


OWN = OptimConfig()  # all of it the method's own
OPEN = OptimConfig(
    name="sgd",
    base_lr=0.05,
    weight_decay=1e-4,
    momentum=0.9,
    trust=1e-3,
    warmup_epochs=0.0,
    schedule="cosine",
    predictor_lr=1.0,
)


def parameter_groups(modules: Sequence[tuple[nn.Module, float]], weight_decay: float) -> list[dict]:
    """Groups of the trainable parameters of (module, factor on the learning rate) pairs; the first to name one has it.

    Weights decay; parameters of at most one dimension (biases, norms) do not, and LARS does not adapt their rate.
    """
    seen: set[int] = set()
    groups = []
    for module, factor in modules:
        own = [p for p in module.parameters() if p.requires_grad and id(p) not in seen]
        seen.update(map(id, own))
        for matrix in (True, False):
            params = [p for p in own if (p.ndim > 1) == matrix]
            if params:
                decay = weight_decay if matrix else 0.0
                groups.append({"params": params, "weight_decay": decay, "adapt": matrix, "factor": factor})
    return groups


def optimizer(config: OptimConfig, groups: list[dict]) -> torch.optim.Optimizer:
    """The optimiser of a filled config, with learning rate 0: it is set before each step."""
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=config.momentum)
    from timm.optim import Lars  # timm takes seconds to import

    # always_adapt is set per group: timm's own rule would turn adaptation off wherever weight decay is 0.
    groups = [{**group, "always_adapt": group["adapt"]} for group in groups]
    return Lars(groups, lr=0.0, momentum=config.momentum, trust_coeff=config.trust)


def scaled_lr(base_lr: float, global_batch: int) -> float:
    """The learning-rate rule: base_lr * global_batch / 256."""
    return base_lr * global_batch / REFERENCE_BATCH


def lr_factor(step: int, total: int, warmup: int, schedule: str = "cosine") -> float:
    """Factor on the learning rate of optimiser step 0 .. total - 1: linear over `warmup` steps, then the schedule.

    The first step has 1/warmup, not 0; the cosine is 1 at step `warmup` and would be 0 at step `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def cosine_ema(step: int, total: int, start: float, end: float = 1.0) -> float:
    """BYOL, arXiv:2006.07733, sec. 3.3:  m_k = 1 - (1 - m_0) (cos(pi k / K) + 1) / 2, from `start` to `end`."""
    return end - (end - start) * (math.cos(math.pi * min(1.0, step / max(1, total))) + 1) / 2


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a run. total, warmup: optimiser steps; peak: the learning rate after warm-up;
    sentence: the learning-rate rule in numbers."""

    total: int
    warmup: int
    peak: float
    shape: str
    sentence: str

    def lr(self, step: int) -> float:
        return self.peak * lr_factor(step, self.total, self.warmup, self.shape)

    @classmethod
    def of(cls, trainer: pl.Trainer, config: OptimConfig, batch_size: int, exact_warmup: bool) -> Schedule:
        batches, epochs, window = trainer.num_training_batches, trainer.max_epochs, trainer.accumulate_grad_batches
        if not math.isfinite(batches) or epochs is None or epochs < 0:
            raise ConfigError(
                "the schedule needs the length of the run: set trainer.max_epochs, with a loader that has a length"
            )
        per_epoch = math.ceil(batches / window)  # Lightning steps at an epoch's end even if the window is short
        total = max(1, per_epoch * epochs)
        total = min(total, trainer.max_steps) if trainer.max_steps >= 0 else total
        warmup = round(config.warmup_epochs * per_epoch)
        warmup = min(warmup, total) if exact_warmup else min(warmup, total // 10)
        world = trainer.world_size
        images = batch_size * world * window
        peak = scaled_lr(config.base_lr, images)
        sentence = (
            f"learning rate {peak:.4g} = base_lr {config.base_lr:g} * {images} / {REFERENCE_BATCH} "
            f"({batch_size} images x {world} process{'es' * (world > 1)} x {window} accumulated); "
            f"{total} steps, {warmup} of them warm-up, then {config.schedule}"
        )
        return cls(total, warmup, peak, config.schedule, sentence)
