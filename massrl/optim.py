"""Optimisers, parameter groups, and schedules as closed formulas of the step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from data_loading.errors import ConfigError
from massrl.timm_package import import_timm

if TYPE_CHECKING:
    import pytorch_lightning as pl

REFERENCE_BATCH = 256  # base_lr is stated for this global batch
LONGEST_WARMUP = 1e5  # epochs
OPEN_END = 2**62  # steps of a run whose end is not known yet


@dataclass(frozen=True)
class OptimConfig:
    """How a method is optimised; None takes the method's own value.

    Args:
        name: the optimiser.
        base_lr: learning rate for a global batch of 256 images; lr_scaling adapts it to other batches.
        lr_scaling: scale it by the batch / 256 (linear), by the square root of that (sqrt), or not (none).
        weight_decay: weight decay of weights; biases and the parameters of norms have none.
        weight_decay_end: weight decay at the end of the run, reached on a cosine; None keeps it constant.
        momentum: momentum of sgd and lars, from 0 to below 1.
        trust: the trust coefficient of lars.
        trust_clip: lars never takes a larger step than sgd would (LARC).
        warmup_epochs: epochs of linear warm-up; a method's own value is cut to a tenth of the run, one set here is not.
        schedule: after warm-up, cosine or linear to final_lr, constant, or step, which divides by 10 at each milestone.
        milestones: where schedule step divides, as rising fractions of the run.
        final_lr: where cosine and linear end, as a fraction of the peak.
        predictor_lr: factor on the learning rate of the predictor.
        predictor_schedule: schedule of the predictor, if it differs from the others'.
        bias_lr: factor on the learning rate of biases and of the parameters of norms.
        clip_norm: clip the gradient of each parameter separately to this norm (DINO); 0 does not clip.
    """

    name: Literal["sgd", "adamw", "lars"] | None = None
    base_lr: float | None = None
    lr_scaling: Literal["linear", "sqrt", "none"] | None = None
    weight_decay: float | None = None
    weight_decay_end: float | None = None
    momentum: float | None = None
    trust: float | None = None
    trust_clip: bool | None = None
    warmup_epochs: float | None = None
    schedule: Literal["cosine", "linear", "constant", "step"] | None = None
    milestones: list[float] | None = None
    final_lr: float | None = None
    predictor_lr: float | None = None
    predictor_schedule: Literal["cosine", "linear", "constant", "step"] | None = None
    bias_lr: float | None = None
    clip_norm: float | None = None

    def filled(self, default: OptimConfig) -> FilledConfig:
        """A copy in which each None is replaced by the value of `default`, or of OPEN where that is None too."""
        own = [dataclasses.asdict(config) for config in (OPEN, default, self)]
        config = OptimConfig(**{k: v for values in own for k, v in values.items() if v is not None})
        return cast("FilledConfig", config)  # OPEN has a value for each field that FilledConfig declares

    def check(self) -> None:
        """Raise a ConfigError for a value out of range; all values must be set, as by `filled`."""
        numbers = ("base_lr", "weight_decay", "weight_decay_end", "warmup_epochs", "predictor_lr", "bias_lr", "trust")
        for name in (*numbers, "final_lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and (value < 0 or not math.isfinite(value)):
                raise ConfigError(f"optim.{name} is {value}; it must be a number of at least 0")
        for name, most in (("warmup_epochs", LONGEST_WARMUP), ("weight_decay", 1e6)):
            if getattr(self, name) > most:
                raise ConfigError(f"optim.{name} is {getattr(self, name):g}; it must be at most {most:,.0f}")
        if self.base_lr == 0:
            raise ConfigError("optim.base_lr is 0, which would train nothing; set it above 0")
        assert self.momentum is not None and self.milestones is not None, "a config that is not filled"
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optim.momentum is {self.momentum}; it must lie from 0 to below 1")
        choices = {"name": ("sgd", "adamw", "lars"), "lr_scaling": ("linear", "sqrt", "none")}
        for name, allowed in {**choices, "schedule": SHAPES, "predictor_schedule": (None, *SHAPES)}.items():
            if getattr(self, name) not in allowed:
                known = ", ".join(filter(None, allowed))
                raise ConfigError(f"optim.{name} is {getattr(self, name)!r}; choose one of {known}")
        ordered = sorted(self.milestones)
        if list(self.milestones) != ordered or any(not 0 < m < 1 for m in ordered):
            raise ConfigError(
                f"optim.milestones is {self.milestones}; write rising fractions of the run, as [0.6, 0.8]"
            )


if TYPE_CHECKING:

    class FilledConfig(OptimConfig):
        """What type checkers see of a config that `filled` returns: only the end of the weight decay, and the
        predictor's schedule, may still be None."""

        name: Literal["sgd", "adamw", "lars"]
        base_lr: float
        lr_scaling: Literal["linear", "sqrt", "none"]
        weight_decay: float
        momentum: float
        trust: float
        trust_clip: bool
        warmup_epochs: float
        schedule: Literal["cosine", "linear", "constant", "step"]
        milestones: list[float]
        final_lr: float
        predictor_lr: float
        bias_lr: float
        clip_norm: float


SHAPES = ("cosine", "linear", "constant", "step")
OWN = OptimConfig()  # every value is the method's own
OPEN = OptimConfig(  # what neither the user nor the method sets
    name="sgd",
    base_lr=0.05,
    lr_scaling="linear",
    weight_decay=1e-4,
    momentum=0.9,
    trust=1e-3,
    trust_clip=False,
    warmup_epochs=0.0,
    schedule="cosine",
    milestones=[0.6, 0.8],
    final_lr=0.0,
    predictor_lr=1.0,
    bias_lr=1.0,
    clip_norm=0.0,
)


def parameter_groups(
    modules: Sequence[tuple[nn.Module, float, str | None]], weight_decay: float, bias_lr: float = 1.0
) -> list[dict]:
    """Parameter groups for a torch optimiser, of the trainable parameters of some modules.

    Parameters of more than one dimension decay. Others (biases, norms) do not, LARS does not adapt their learning rate,
    and bias_lr is a further factor on it. Beside torch's keys a group has `factor` (on the learning rate), `schedule`
    (its shape, or None for the run's) and `adapt` (whether it decays and LARS adapts it).

    Args:
        modules: (module, factor on the learning rate, schedule or None); a parameter belongs to the first that has it.
        weight_decay: weight decay of the parameters that decay.
        bias_lr: factor on the learning rate of the others.
    """
    seen: set[int] = set()
    groups = []
    for module, factor, schedule in modules:
        mine = [p for p in module.parameters() if p.requires_grad and id(p) not in seen]
        seen.update(map(id, mine))
        for matrix in (True, False):
            params = [p for p in mine if (p.ndim > 1) == matrix]
            if params:
                group = {"weight_decay": weight_decay, "factor": factor, "adapt": True}
                if not matrix:
                    group = {"weight_decay": 0.0, "factor": factor * bias_lr, "adapt": False}
                groups.append({"params": params, "schedule": schedule, **group})
    return groups


def optimizer(config: FilledConfig, groups: list[dict], fused: bool = False) -> torch.optim.Optimizer:
    """The optimiser of a filled config for the groups of `parameter_groups`.

    Its learning rate is base_lr times each group's factor: a start for schedulers and callbacks that read it. In a
    training of a Method `set_rates` writes another one before each step.
    """
    lr = config.base_lr
    groups = [{**group, "lr": lr * group["factor"]} for group in groups]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=fused)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=config.momentum, fused=fused)
    # always_adapt is set per group: timm's own rule would turn adaptation off wherever weight decay is 0.
    groups = [{**group, "always_adapt": group["adapt"]} for group in groups]
    rates = {"lr": lr, "momentum": config.momentum}
    return import_timm("timm.optim").Lars(groups, **rates, trust_coeff=config.trust, trust_clip=config.trust_clip)


def own_groups(optimizer: torch.optim.Optimizer) -> list[dict]:
    """The groups that `parameter_groups` made; not those of a user's own optimiser, nor what a callback has added."""
    return [group for group in optimizer.param_groups if "factor" in group]


def set_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int, lr: bool = True) -> None:
    """Write the learning rate (unless `lr` is False) and weight decay of optimiser step `step` into our own groups."""
    for group in own_groups(optimizer):
        if lr:
            group["lr"] = group["factor"] * schedule.lr(step, group["schedule"])
        group["weight_decay"] = schedule.weight_decay(step) if group["adapt"] else 0.0


@torch.no_grad()
def clip_each(parameters: Iterable[nn.Parameter], max_norm: float) -> None:
    """Clip the gradient of each parameter separately to a norm of at most max_norm, in place, as DINO's code does."""
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return
    factors = [(max_norm / (norm + 1e-6)).clamp(max=1.0) for norm in torch._foreach_norm(grads)]
    torch._foreach_mul_(grads, factors)


def scaled_lr(base_lr: float, global_batch: int, scaling: str = "linear") -> float:
    """The learning rate for a batch: base_lr times global_batch / 256 (linear), its square root (sqrt), or 1 (none)."""
    times = global_batch / REFERENCE_BATCH
    return base_lr * {"linear": times, "sqrt": math.sqrt(times), "none": 1.0}[scaling]


def lr_factor(
    step: int,
    total: int,
    warmup: int,
    schedule: str = "cosine",
    final: float = 0.0,
    milestones: Sequence[float] = (),
) -> float:
    """Factor on the peak learning rate in optimiser step `step`, from 0 to total - 1.

    It rises linearly over `warmup` steps, from 1/warmup in the first one, and then follows the schedule: cosine, 1 at
    step `warmup` and `final` at step `total`; linear, between the same two; constant; or step, a tenth at each of the
    milestones, which are fractions of `total`.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return 0.1 ** sum(step >= m * total for m in milestones)
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    left = 1 - done if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return final + (1 - final) * left


def cosine(step: int, total: int, start: float, end: float = 1.0) -> float:
    """A value that goes from `start` at step 0 to `end` at step `total` on half a cosine, and stays there.

    With end = 1 it is the momentum of BYOL's target, arXiv:2006.07733, sec. 3.3, in step k of K:
        m_k = 1 - (1 - m_0) (cos(pi k / K) + 1) / 2
    """
    return end - (end - start) * (math.cos(math.pi * min(1.0, step / max(1, total))) + 1) / 2


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a run.

    total, warmup, per_epoch: optimiser steps of the run, of its warm-up, of an epoch; total is OPEN_END while it is not
    known.  peak: the learning rate after warm-up.  exact_warmup: whether the warm-up is never cut.  rule: how peak
    follows from base_lr, in numbers.
    """

    total: int
    warmup: int
    per_epoch: int
    peak: float
    config: FilledConfig
    exact_warmup: bool
    rule: str

    def lr(self, step: int, shape: str | None = None) -> float:
        """The learning rate of optimiser step `step`; shape: the schedule of a group that does not follow the run's."""
        c = self.config
        shape = shape or c.schedule
        return self.peak * lr_factor(step, self.total, self.warmup, shape, c.final_lr, c.milestones)

    def weight_decay(self, step: int) -> float:
        """The weight decay of optimiser step `step`."""
        start, end = self.config.weight_decay, self.config.weight_decay_end
        return start if end is None else cosine(step, self.total, start, end)

    def ending(self, total: int) -> Schedule:
        """A copy for a run of `total` steps; a warm-up that is the method's own is cut to a tenth of them."""
        warmup = round(self.config.warmup_epochs * self.per_epoch)
        return dataclasses.replace(self, total=total, warmup=min(warmup, total if self.exact_warmup else total // 10))

    @property
    def sentence(self) -> str:
        """Learning rate and length in numbers, as it is printed when training starts."""
        length = "length not known yet" if self.total == OPEN_END else f"{self.total} steps"
        return f"{self.rule}; {length}, {self.warmup} of them warm-up, then {self.config.schedule}"

    @classmethod
    def of(
        cls,
        trainer: pl.Trainer,
        config: FilledConfig,
        batch_size: int,
        exact_warmup: bool,
        epochs: int | None = None,
    ) -> Schedule:
        """The schedule of a Trainer's run, asked for when its first batch is there.

        batch_size: images per process.  exact_warmup: whether the warm-up was asked for, so that it is never cut.
        epochs: in place of trainer.max_epochs, where a callback has changed that.  Raises ConfigError where the Trainer
        has no end.
        """
        total, per_epoch = length_of(trainer, epochs)
        world, window = trainer.world_size, trainer.accumulate_grad_batches
        images = batch_size * world * window
        peak = scaled_lr(config.base_lr, images, config.lr_scaling)
        scaled = {
            "linear": f" * {images} / {REFERENCE_BATCH}",
            "sqrt": f" * sqrt({images} / {REFERENCE_BATCH})",
            "none": f", whatever the batch of {images}",
        }[config.lr_scaling]
        rule = (
            f"learning rate {peak:.4g} = base_lr {config.base_lr:g}{scaled} "
            f"({batch_size} images x {world} process{'es' * (world > 1)} x {window} accumulated)"
        )
        return cls(total, 0, per_epoch, peak, config, exact_warmup, rule).ending(total)


def length_of(trainer: pl.Trainer, epochs: int | None = None) -> tuple[int, int]:
    """Optimiser steps of a Trainer's run and of an epoch: the smaller of what max_epochs and max_steps say.

    epochs: in place of trainer.max_epochs.  The first is OPEN_END where only max_time ends the run.  Raises ConfigError
    where nothing ends it, and where the loader has no length, so that an epoch has none.
    """
    batches, window = trainer.num_training_batches, trainer.accumulate_grad_batches
    epochs = trainer.max_epochs if epochs is None else epochs
    if not math.isfinite(batches):
        raise ConfigError(
            "the schedule counts epochs, and this loader has no length; set trainer.limit_train_batches to the batches "
            "of an epoch"
        )
    windows = next((dict(c.scheduling) for c in _callbacks(trainer) if hasattr(c, "scheduling")), {0: window})
    per_epoch = math.ceil(batches / window)  # Lightning steps at an epoch's end even if the window is short
    ends = []
    if epochs is not None and epochs >= 0:
        starts = [*sorted(start for start in windows if start < epochs), epochs]
        ends.append(max(1, sum((b - a) * math.ceil(batches / windows[a]) for a, b in pairwise(starts))))
    ends += [trainer.max_steps] if trainer.max_steps >= 0 else []
    if not ends and timer_of(trainer) is None:
        raise ConfigError("the schedule needs the length of the run: set trainer.max_epochs, max_steps or max_time")
    return min(ends, default=OPEN_END), per_epoch


def timer_of(trainer: pl.Trainer) -> Any | None:
    """Lightning's Timer that ends the run, which max_time makes; None without one."""
    timers = (c for c in _callbacks(trainer) if hasattr(c, "time_remaining"))
    return next((timer for timer in timers if timer.time_remaining() is not None), None)


def _callbacks(trainer: pl.Trainer) -> list[Any]:
    return trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it outside the class
