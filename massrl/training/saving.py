"""Saving: a run's checkpoints, by time and at the ends of epochs, from which it goes on exactly as it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UserError
from massrl.runs.checkpoint_files import NEXT, promote
from massrl.training import process_state
from massrl.training.signals import Signals, Stopped

EVERY = 4  # optimiser steps between two agreements of several processes


class Saving(pl.callbacks.Checkpoint):
    """Writes RUN/checkpoints/last.ckpt after each epoch, after `minutes`, and when a signal asks the run to end.

    Each holds what Lightning keeps, `content` as "massrl", and the state of each process as "processes". Lightning logs
    a step after its callbacks, so a checkpoint is written under another name first, and becomes the newest one when the
    row of its step is in metrics.csv: a run that is killed in between goes on from the one before, and loses no row.

    A step whose end is followed by validation writes none, since Lightning would not validate again after a restart;
    the next one does.

    Args:
        run: the run folder.
        content: what a checkpoint says of its data and settings.
        minutes: from one checkpoint to the next within an epoch; 0 writes them at the ends of epochs alone.
        signals: where a signal is noted.
        check: called with Trainer and module before each checkpoint; what it raises ends the run without one.
    """

    def __init__(
        self,
        run: Path,
        content: dict[str, Any],
        minutes: float,
        signals: Signals,
        check: Callable[[pl.Trainer, pl.LightningModule], None],
    ):
        if not 0 <= minutes < math.inf:
            raise ConfigError(f"--save_minutes is {minutes:g}; set it to 0 or more")
        self.run, self.content, self.minutes, self.signals, self.check = run, content, minutes, signals, check
        self.stepped = False  # whether a step is done
        self.pending = False  # whether NEXT waits for the row of its step
        self.ends_by = 0  # the signal with which all processes end
        self.wanted = False  # a checkpoint that is due, but was put off by a step
        self.restored: list[dict[str, Any]] = []  # states of processes, until the first step
        self.agreement = Agreement()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["massrl"] = self.content
        checkpoint["processes"] = process_state.gathered(trainer)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.restored = checkpoint.get("processes", [])

    def on_sanity_check_start(self, *_: Any) -> None:
        self.signals.install()  # Lightning has installed its own

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.signals.install()
        self.signals.stepping = True
        self.last_step, self.saved_at = trainer.global_step, time.monotonic()
        self.agreement.begin(trainer)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._promote(trainer)
        if self.restored:
            process_state.restore(trainer, self.restored)
            self.restored = []
        if self.ends_by:
            raise Stopped(self.ends_by)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:
        self.stepped = True
        step, before = trainer.global_step, self.last_step
        self.last_step = step
        if step == before:  # within an accumulation
            return
        late = 0 < self.minutes * 60 <= time.monotonic() - self.saved_at
        save, number = self.agreement.reached(late and trainer.is_global_zero, self.signals.received)
        self.ends_by = self.ends_by or number
        put_off = self.wanted
        self.wanted = self.wanted or save or bool(number)
        if not self.wanted or trainer.is_last_batch:
            return
        if put_off or not _validates(trainer, rest[-1]):
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._promote(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._promote(trainer)
        self.signals.stepping = False
        self.agreement.end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.signals.stepping = False
        if trainer.is_global_zero:
            (self.run / NEXT).unlink(missing_ok=True)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.check(trainer, module)
        self.wanted, self.pending, self.saved_at = False, True, time.monotonic()
        try:
            trainer.save_checkpoint(self.run / NEXT, weights_only=False)
        except UserError as error:
            raise UserError(f"{error}; the run ends, and goes on from the checkpoint before") from error
        self.saved_at = time.monotonic()  # a slow disk has a whole period, too
        self.agreement.saved()

    def _promote(self, trainer: pl.Trainer) -> None:
        if self.pending and trainer.is_global_zero:
            promote(self.run)
        self.pending = False


class Agreement:
    """One decision of all processes, in the same step: whether to save, and the signal to end by.

    Several processes ask each other every few steps, on the CPU and beside the steps: the answer is read a few steps
    later, when it is there, so that nobody waits and no device is waited for.
    """

    def __init__(self) -> None:
        self.group: Any = None
        self.asked: tuple[Any, Tensor] | None = None  # what is being answered
        self.steps, self.stale = 0, False

    def begin(self, trainer: pl.Trainer) -> None:
        """Connect the processes; each calls it."""
        self.asked, self.steps, self.stale = None, 0, False
        if trainer.world_size == 1 or not (dist.is_available() and dist.is_initialized()):
            self.group = None
            return
        self.group = dist.new_group(backend="gloo")
        # Lightning asks rank 0 in each step whether it got SIGTERM, and waits for the device to hear it.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def reached(self, save: bool, signal: int) -> tuple[bool, int]:
        """(whether to save, signal or 0) as all processes see it after this step; save, signal: of this one."""
        if self.group is None:
            return save, signal
        self.steps += 1
        if self.steps % EVERY:
            return False, 0
        (wanted, number), stale = self._answer(), self.stale
        self.stale = False
        mine = torch.tensor([int(save), signal])
        self.asked = (dist.all_reduce(mine, dist.ReduceOp.MAX, group=self.group, async_op=True), mine)
        return bool(wanted) and not stale, number

    def saved(self) -> None:
        """A checkpoint is written: whoever has asked for one before has it."""
        self.stale = self.asked is not None

    def end(self) -> None:
        """Wait for the last answer; each process calls it."""
        self._answer()

    def _answer(self) -> list[int]:
        if self.asked is None:
            return [0, 0]
        work, found = self.asked
        work.wait()
        self.asked = None
        return found.tolist()


def _validates(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether Lightning validates after this batch, which is not the epoch's last."""
    every = trainer.val_check_batch  # infinity for an epoch's end, None for a time
    if not trainer.enable_validation or not isinstance(every, int):
        return False
    done = batch_idx + 1 if trainer.check_val_every_n_epoch is not None else trainer.fit_loop.total_batch_idx + 1
    return done % every == 0
