"""Loggers beside metrics.csv: Weights & Biases and TensorBoard, imported only where they are asked for.

    --logger csv           metrics.csv alone, which is written always
    --logger wandb         RUN/wandb, and the server of Weights & Biases unless WANDB_MODE is offline
    --logger tensorboard   RUN/tensorboard

Where one cannot begin, as without a login, that is a ConfigError before the first step. What goes wrong later is said
once, and the run goes on without it. Loggers of your own (`trainer.logger`) are left as they are.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, one_line, one_of
from massrl.training.metrics import Metrics, Row, row_of

NAMES = ("csv", "wandb", "tensorboard")
ID = Path("wandb", "id")  # in a run folder
FINISH_S = 60.0  # seconds that wandb may take at the end to send what is left
PROJECT = "massrl"  # of Weights & Biases, unless WANDB_PROJECT names another
_MultiProcessingLauncher = import_module(f"{pl.__name__}.strategies.launchers")._MultiProcessingLauncher
rank_zero_only = pl.utilities.rank_zero_only
log = logging.getLogger(__name__)


def chosen(given: str | Sequence[str]) -> list[str]:
    """The loggers that `--logger` names, beside metrics.csv, each once; ConfigError where there is no such one.

    Also where its package is missing.
    """
    names = [one_of("--logger", name, NAMES, ConfigError) for name in ([given] if isinstance(given, str) else given)]
    found = [name for name in dict.fromkeys(names) if name != "csv"]
    for name in found:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # None: a folder of that name, as wandb leaves one, is no package
            raise ConfigError(f"--logger {name}: the package {name} is not installed; pip install {name}")
    return found


def made(names: Sequence[str], run: Path, steps: int, config: dict[str, Any], metrics: Metrics) -> list[Beside]:
    """The loggers of a run folder.

    steps: optimiser steps that are done already.  config: the run's settings.  metrics: its log.
    """
    kinds: dict[str, Callable[[], Beside]] = {
        "wandb": lambda: WandB(run, steps, config, metrics),
        "tensorboard": lambda: TensorBoard(run, steps),
    }
    return [kinds[name]() for name in names]


@contextmanager
def begun(loggers: Sequence[Beside], trainer: pl.Trainer) -> Iterator[None]:
    """Begin to log, and end it; where a strategy trains in other processes, each logger begins there."""
    if not isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        for one in loggers:
            one.begin()
    try:
        yield
    finally:
        for one in loggers:  # Lightning has ended them where the training began
            one.finalize("failed")


class Beside(pl.loggers.Logger):
    """A logger beside metrics.csv, which ends no training."""

    name = version = None
    called = ""  # as --logger has it
    hint = ""  # what to do where it cannot begin

    def __init__(self) -> None:
        super().__init__()
        self.to: Any = None  # what is logged to, once it has begun
        self.off = False  # after a failure

    def open(self) -> Any:
        """What is logged to."""
        raise NotImplementedError

    def put(self, metrics: dict[str, float], step: int) -> None:
        """Log one row."""
        raise NotImplementedError

    def close(self, success: bool) -> None:
        """End what `open` has begun."""
        raise NotImplementedError

    def begin(self) -> None:
        """Start to log; ConfigError, in one line, where that cannot be."""
        try:
            self.to = self.open()
        except Exception as error:  # of the package: network, login, disk
            raise ConfigError(f"--logger {self.called}: {_short(error)}{self.hint}") from error

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._try(lambda: self.put(dict(metrics), int(step or 0)))

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self.to is not None:
            self._try(lambda: self.close(status == "success"))
            self.to = None
            self.off = True

    def _try(self, do: Callable[[], None]) -> None:
        if self.off:
            return
        try:
            if self.to is None:  # a strategy that trains in other processes has a copy there
                self.begin()
            do()
        except Exception as error:
            self.off = True
            log.warning("no more is logged to %s: %s; metrics.csv has it all", self.called, _short(error))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "to": None}


class WandB(Beside):
    """Log to Weights & Biases: one run there for each run folder, however often it goes on.

    Its number is kept in RUN/wandb/id. A row that an earlier start has logged is not logged again. Rows are sent by a
    process of wandb, so that SIGKILL may lose those of the last second there.
    """

    called = "wandb"
    hint = "; WANDB_MODE=offline logs to the run folder alone"

    def __init__(self, run: Path, steps: int, config: dict[str, Any], metrics: Metrics):
        super().__init__()
        self.run, self.steps, self.config, self.metrics = run, steps, config, metrics
        self.repeated: set[Row] = set()

    def open(self) -> Any:
        import wandb

        number = self._known() or os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4)
        found = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=self.run.resolve().name,
            dir=os.fspath(self.run),
            id=number,
            resume="allow",
            config=self.config,
            settings=_settings(wandb),
        )
        write_whole(self.run / ID, f"{number}\n")
        return found

    def _known(self) -> str | None:
        """The number of this run at Weights & Biases, which has the rows of earlier starts; None where it has none."""
        path = self.run / ID
        known = path.read_text(errors="replace").strip() if path.is_file() else ""
        if not re.fullmatch(r"[\w-]{1,128}", known, re.ASCII):
            return None
        self.repeated = self.metrics.repeated(self.steps)
        return known

    def put(self, metrics: dict[str, float], step: int) -> None:
        if row_of(step, metrics) not in self.repeated:
            self.to.log(metrics, step=step)

    def close(self, success: bool) -> None:
        self.to.finish(exit_code=0 if success else 1)


def _settings(wandb: Any) -> Any:
    """wandb's settings with an end that waits a minute for the network, and not for ever; None where it has no such."""
    try:
        return wandb.Settings(finish_timeout=FINISH_S, finish_timeout_raises=True)
    except (AttributeError, TypeError, ValueError):  # older ones
        return None


class TensorBoard(Beside):
    """Log to RUN/tensorboard. Where a run goes on, TensorBoard drops the steps that will be done again."""

    called = "tensorboard"

    def __init__(self, run: Path, steps: int):
        super().__init__()
        self.run, self.steps = run, steps

    def open(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(os.fspath(self.run / "tensorboard"), purge_step=self.steps, flush_secs=30)

    def put(self, metrics: dict[str, float], step: int) -> None:
        for name, value in metrics.items():
            self.to.add_scalar(name, value, step)

    def close(self, success: bool) -> None:
        self.to.close()


def _short(error: Exception) -> str:
    return one_line(str(error)).rstrip(".")[:300] or type(error).__name__
