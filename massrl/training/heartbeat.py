"""Heartbeats of a training: where it is, every half minute, and how it ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_loading.config.lightning_package import pl
from data_loading.errors import UserError, one_line
from massrl.optim import OPEN_END
from massrl.runs import heartbeat
from massrl.training.metrics import Metrics
from massrl.training.signals import Stopped

FIRST = 1.0  # seconds from the first heartbeat to the second
log = logging.getLogger(__name__)


class Heartbeat(pl.Callback):
    """Write RUN/heartbeat.json where the run starts and ends, and between: at first after 1, 2, 4 ... seconds, at last
    every 30.

    It is written between steps and not by a thread, so that it says that steps are taken, not that a process exists.
    Losses are those of the newest row of the log: no device is waited for. Where it cannot be written, as on a full
    disk, that is said once.

    Args:
        run: the run folder.
        metrics: its log.
    """

    def __init__(self, run: Path, metrics: Metrics):
        self.run, self.metrics = run, metrics
        self.next_at, self.pause = 0.0, FIRST  # when the next one is due, and seconds from it to the one after
        self.told = False  # whether it was said that none can be written

    @contextmanager
    def around(self, trainer: pl.Trainer, steps: int, epochs: int) -> Iterator[None]:
        """Around a fit, on the process that writes the folder: say that it starts, and how it ended.

        steps, epochs: that are done already.
        """
        self.before = {"step": steps, "epoch": epochs}
        self._write("starting", {**self.before, **_length(trainer)})
        try:
            yield
        except BaseException as error:
            state, line = _end(error)
            self._write(state, {**self._facts(trainer), "line": line})
            raise
        self._write("finished", self._facts(trainer))

    def on_train_start(self, *_: Any) -> None:
        self.next_at, self.pause = 0.0, FIRST

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self._beat(trainer)

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._beat(trainer)

    def _beat(self, trainer: pl.Trainer) -> None:
        now = time.monotonic()
        if trainer.is_global_zero and now >= self.next_at:
            self.next_at, self.pause = now + self.pause, min(heartbeat.EVERY, 2 * self.pause)
            self._write("running", self._facts(trainer))

    def _facts(self, trainer: pl.Trainer) -> dict[str, Any]:
        last = self.metrics.last
        found = {name: last.get(name) for name in ("loss", "images_per_s")}
        found["knn"] = last.get("val_knn", last.get("knn"))
        done = {"step": trainer.global_step, "epoch": trainer.current_epoch}  # 0 until Lightning has read a checkpoint
        done = {name: max(value, self.before[name]) for name, value in done.items()}
        return {**done, **_length(trainer), **found}

    def _write(self, state: str, facts: dict[str, Any]) -> None:
        try:
            heartbeat.write(self.run, state, **facts)
        except UserError as error:
            if not self.told:
                log.warning("%s; `massrl runs` does not know how far this run is", error)
            self.told = True


def _length(trainer: pl.Trainer) -> dict[str, int | None]:
    """Epochs and steps of the whole run, where they are known."""
    epochs = trainer.max_epochs
    schedule = getattr(trainer.lightning_module, "schedule", None) if trainer.lightning_module else None
    total = schedule.total if schedule is not None and schedule.total != OPEN_END else trainer.max_steps
    return {"epochs": epochs if epochs and epochs > 0 else None, "steps": int(total) if total > 0 else None}


def _end(error: BaseException) -> tuple[str, str]:
    """(state, line) of a run that an error or a signal has ended."""
    if isinstance(error, Stopped):
        return "stopped", str(error)
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return "stopped", "stopped by SIGINT"  # after which Lightning exits by itself
    if isinstance(error, pl.utilities.exceptions.SIGTERMException):
        return "stopped", "stopped by SIGTERM"
    if isinstance(error, SystemExit):
        return "failed", f"ended by sys.exit({error.code!r:.40})"
    text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return "failed", one_line(text)[:300]
