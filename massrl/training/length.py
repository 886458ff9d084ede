"""The length of a run that was given in minutes: the first steps are timed, and as many are taken as fit."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import dataclass
from typing import Any

import torch

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from massrl.methods import Method
from massrl.runs.quiet import quiet
from massrl.runs.trainer import make_trainer

STEPS, WARM = 20, 4  # steps to measure, the first of which are left out: threads start and kernels are compiled
SHARE = 0.2  # of the minutes that measuring may take
PASSED_ON = "MASSRL_LENGTH"  # environment variable: what rank 0 found, for the processes that it starts


@dataclass(frozen=True)
class Length:
    """Whole epochs, or one epoch cut after `batches`."""

    epochs: int
    batches: int | None = None

    @property
    def settings(self) -> dict[str, int]:
        """As arguments of Lightning's Trainer."""
        cut = {} if self.batches is None else {"limit_train_batches": self.batches}
        return {"max_epochs": self.epochs, **cut}


def choose(seconds: float, step: float, batches: int) -> Length:
    """The length that takes about `seconds` when a step takes `step` seconds and an epoch has `batches` batches."""
    steps = seconds / step
    if steps >= batches:
        return Length(int(steps / batches))
    return Length(1, max(1, int(steps)))


class Clock(pl.Callback):
    """Records when each batch ends, and stops the training after STEPS batches or `seconds` seconds.

    The first batch, in which networks are compiled, does not count as time, so that there are always two.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        number, now = len(self.ends) + 1, time.perf_counter()
        last = number >= STEPS or (number > 1 and now - self.ends[0] > self.seconds)
        if (number <= WARM or last) and trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()  # else the time is that at which the step was queued
            now = time.perf_counter()
        self.ends.append(now)
        trainer.should_stop = last

    @property
    def step(self) -> float:
        """Mean seconds per step, leaving out the first WARM steps, or the first where there are fewer."""
        skip = min(WARM, len(self.ends) - 1)
        return (self.ends[-1] - self.ends[skip - 1]) / (len(self.ends) - skip)


def batches_of_epoch(data: BetonDataModule, settings: dict[str, Any]) -> int:
    """Batches per epoch after --trainer.limit_train_batches, a number or a fraction."""
    batches, cut = len(data.train_dataloader()), settings.get("limit_train_batches")
    if cut is None:
        return batches
    return max(1, min(batches, cut if isinstance(cut, int) or cut > 1 else int(batches * cut)))


def measure(method: Method, data: BetonDataModule, settings: dict[str, Any], minutes: float) -> tuple[float, int]:
    """(seconds per step, batches per epoch), measured on copies, on one device; global random state is restored."""
    batches = batches_of_epoch(data, settings)
    clock = Clock(SHARE * 60 * minutes)
    short_fit(method, copy.deepcopy(data), {**settings, "max_epochs": math.ceil(STEPS / batches)}, clock)
    return clock.step, batches


# Callbacks that keep files, or that a few steps without validation give nothing to decide on.
_ENDING = (pl.callbacks.Checkpoint, pl.callbacks.EarlyStopping)


def short_fit(method: Method, data: Any, settings: dict[str, Any], *callbacks: pl.Callback, **more: Any) -> pl.Trainer:
    """Train a copy of a method on one device, saying and keeping nothing; global random state is restored.

    data: a data module, or an iterable of batches.  settings: of the run's Trainer.  callbacks: beside those of the
    run.  more: other arguments of the Trainer.
    """
    batches = len(data.train_dataloader() if isinstance(data, BetonDataModule) else data)
    own = settings.get("callbacks") or []
    own = [one for one in (own if isinstance(own, list) else [own]) if not isinstance(one, _ENDING)]
    throwaway = {
        **settings,
        "callbacks": [*copy.deepcopy(own), *callbacks],
        "logger": pl.loggers.logger.DummyLogger(),  # some callbacks ask for one
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "log_every_n_steps": settings.get("log_every_n_steps") or max(1, min(10, batches)),  # as a run has it
        "limit_val_batches": 0,
        "devices": 1,
        "num_nodes": 1,
        "strategy": "auto",
        **more,
    }
    source = {"datamodule" if isinstance(data, pl.LightningDataModule) else "train_dataloaders": data}
    with pl.utilities.seed.isolate_rng(), quiet(everything=True):
        trainer = make_trainer(**throwaway)
        trainer.fit(copy.deepcopy(method), **source)
    return trainer


def fitted(
    method: Method, data: BetonDataModule, settings: dict[str, Any], minutes: float, world: int
) -> tuple[Length, str]:
    """The length for `minutes`, and a line that says why."""
    started_together = {"LOCAL_RANK", "SLURM_PROCID"} & os.environ.keys()
    if started_together and (passed := os.environ.get(PASSED_ON)):
        epochs, _, cut = passed.partition(",")
        return Length(int(epochs), int(cut) if cut else None), ""
    if world > 1 and started_together:
        raise ConfigError("--trainer.max_epochs is missing; processes that are started together need it to agree")
    if not (minutes > 0 and math.isfinite(minutes)):
        raise ConfigError(f"--minutes is {minutes:g}; it must be more than 0")
    print(f"no --trainer.max_epochs was given: measuring up to {STEPS} steps to fill --minutes {minutes:g}", flush=True)
    step, batches = measure(method, data, settings, minutes)
    batches = max(1, batches // world)
    length = choose(60 * minutes, step, batches)
    if length.batches is None:
        what = f"{length.epochs} epoch{'s' * (length.epochs > 1)} of {batches} batches"
    else:
        what = f"one epoch cut after {length.batches} of its {batches} batches"
    if world > 1:
        os.environ[PASSED_ON] = ",".join(map(str, filter(None, (length.epochs, length.batches))))
    return length, f"a step takes {step:.3f} s, so {minutes:g} minutes are {what}"
