"""Saving: a run's checkpoints, by time and at the ends of epochs, from which it goes on exactly as it was."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from data_loading.config.atomic import sync_file
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UserError
from massrl.runs.checkpoint_files import NEXT, WholeCheckpoints, promote
from massrl.runs.folder import LOG
from massrl.training import process_state
from massrl.training.signals import Signals, Stopped


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
        self.saved_step = -1  # optimiser steps of the newest checkpoint of this start
        self.stops = False  # whether the run ends when this accumulation is whole
        self.pending = False  # whether NEXT waits for the row of its step
        self.ends_by = 0  # the signal with which all processes end
        self.wanted = False  # a checkpoint that is due, but was put off by a step
        self.restored: list[dict[str, Any]] = []  # states of processes, until the first step
        self.agreement = Agreement()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["massrl"] = self.content
        checkpoint["processes"] = process_state.gathered(trainer, self.agreement.group)

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
        if self.restored:
            process_state.restore(trainer, self.restored)
            self.restored = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._promote(trainer)
        if self.ends_by and not self.wanted:  # else its checkpoint was put off by a step
            raise Stopped(self.ends_by)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *rest: Any) -> None:
        self.stepped = True
        step, before = trainer.global_step, self.last_step
        self.last_step = step
        if (
            step == before
        ):  # within an accumulation, whose gradients no checkpoint holds: the run ends with a whole step
            if _stopped(trainer):
                trainer.should_stop, self.stops = False, True
            return
        if self.stops:
            trainer.should_stop, self.stops = True, False
        late = 0 < self.minutes * 60 <= time.monotonic() - self.saved_at
        save, number = self.agreement.reached(late and trainer.is_global_zero, self.signals.received)
        self.ends_by = self.ends_by or number
        put_off = self.wanted
        self.wanted = self.wanted or save or bool(number)
        if trainer.is_last_batch:
            return
        if _ends(trainer) or (self.wanted and (put_off or not _validates(trainer, rest[-1]))):
            self._save(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_last_batch or self.saved_step != trainer.global_step:  # else the run ends within the epoch
            self._save(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._promote(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._promote(trainer)
        self.signals.stepping = False
        self.agreement.end()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.signals.stepping = False
        launcher: Any = trainer.strategy.launcher
        if isinstance(exception, Stopped) and getattr(launcher, "procs", None):
            if not self.ends_by:  # before the first step, when processes have agreed on nothing
                launcher.kill(signal.SIGTERM)
            launcher.procs.clear()  # Lightning kills this process some seconds after one of these has ended
        if trainer.is_global_zero:
            (self.run / NEXT).unlink(missing_ok=True)

    def _save(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a property that the class makes later
            self.wanted = False
            return
        self.check(trainer, module)
        files: Any = trainer.strategy.checkpoint_io
        held: Any = files.held() if isinstance(files, WholeCheckpoints) else contextlib.nullcontext([])
        with held as failed:
            trainer.save_checkpoint(self.run / NEXT, weights_only=False)  # with a barrier, which all must reach
        if self.agreement.any(bool(failed)):
            said = str(failed[0]) if failed else f"{self.run / NEXT} could not be written by process 0"
            raise UserError(f"{said}; the run ends, and goes on from the checkpoint before")
        self.wanted, self.pending, self.saved_at = False, True, time.monotonic()
        self.saved_step = trainer.global_step
        self.agreement.saved()

    def _promote(self, trainer: pl.Trainer) -> None:
        if self.pending and trainer.is_global_zero:
            sync_file(self.run / LOG)  # else a power cut could keep the checkpoint and lose rows before it
            promote(self.run)
        self.pending = False


class Agreement:
    """One decision of all processes, in the same step: whether to save, and the signal to end by.

    Several processes ask each other in each step, on the CPU and beside the step: the answer is read after the next
    one, when it is there, so that nobody waits and no device is waited for.
    """

    def __init__(self) -> None:
        self.group: Any = None
        self.asked: tuple[Any, Tensor] | None = None  # what is being answered
        self.stale = False

    def begin(self, trainer: pl.Trainer) -> None:
        """Connect the processes; each calls it. UserError where they do not begin with the same step."""
        self.asked, self.stale = None, False
        if trainer.world_size == 1 or not (dist.is_available() and dist.is_initialized()):
            self.group = None
            return
        self.group = dist.new_group(backend="gloo")
        first = torch.tensor([trainer.global_step, -trainer.global_step])
        dist.all_reduce(first, dist.ReduceOp.MAX, group=self.group)
        if first[0] != -first[1]:
            raise UserError(
                f"processes begin with steps from {-first[1]} to {first[0]}: they have found different checkpoints; "
                "give --run a folder on a disk that all of them share"
            )
        # Lightning asks rank 0 in each step whether it got SIGTERM, and waits for the device to hear it.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]

    def reached(self, save: bool, number: int) -> tuple[bool, int]:
        """(whether to save, signal or 0) as all processes see it after this step; save, number: of this one."""
        if self.group is None:
            return save, number
        (wanted, found), stale = self._answer(), self.stale
        self.stale = False
        mine = torch.tensor([int(save), number])
        self.asked = (dist.all_reduce(mine, dist.ReduceOp.MAX, group=self.group, async_op=True), mine)
        return bool(wanted) and not stale, found

    def any(self, mine: bool) -> bool:
        """Whether it is so on any process; each calls it, and waits for the others."""
        if self.group is None:
            return mine
        found = torch.tensor([int(mine)])
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self.group)
        return bool(found[0])

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


def _ends(trainer: pl.Trainer) -> bool:
    """Whether Lightning ends the run after this batch, also in the middle of an epoch, which it then counts as done."""
    return _stopped(trainer) or 0 <= trainer.max_steps <= trainer.global_step


def _stopped(trainer: pl.Trainer) -> bool:
    """Whether a callback has asked Lightning to stop, and its least length is reached."""
    return trainer.should_stop and trainer.fit_loop._can_stop_early


def _validates(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether Lightning validates after this batch, which is not the epoch's last."""
    every = trainer.val_check_batch  # infinity for an epoch's end, None for a time
    if not trainer.enable_validation or not isinstance(every, int):
        return False
    done = batch_idx + 1 if trainer.check_val_every_n_epoch is not None else trainer.fit_loop.total_batch_idx + 1
    return done % every == 0
