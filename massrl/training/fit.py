"""A run: its folder, what is written there, and the training itself.

config.yaml        every setting as it was used, views and seeds included; `--config` takes it
environment.json   command line, versions, machine, git revision
metrics.csv        what was logged, a row per logged step; a continued run adds to it
metrics.json       seconds, steps, and the last value of each metric
checkpoints/       last.ckpt, written at the end of each epoch
report.html        all of it on one page
"""

from __future__ import annotations

import csv
import io
import logging
import os
import pickle
import platform
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from data_loading.config.atomic import write_whole
from data_loading.errors import CheckpointError, ConfigError
from data_loading.loading.datamodule import BetonDataModule
from massrl.methods import Method
from massrl.runs.record import git, versions, write_json

# What the optimiser's state brings along, so that another value would be ignored.
STORED = (
    "name",
    "weight_decay",
    "momentum",
    "trust",
    "trust_clip",
    "predictor_lr",
    "predictor_schedule",
    "bias_lr",
)
LAST = Path("checkpoints", "last.ckpt")
# What Lightning warns of although it is meant, or cannot be helped.
EXPECTED_WARNINGS = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # inside each fit of Lightning 2.6 (its issue 21326)
    r"Checkpoint directory .* exists and is not empty",  # a continued run
    r"The dirpath has changed from",  # a run continued in another folder; the old one's checkpoint stays
)


class Metrics(Logger):
    """metrics.csv: columns epoch, step and one per metric, a row per logged step, on disk as soon as it is logged."""

    name = version = None

    def __init__(self, path: str | Path):
        super().__init__()
        self.path = Path(path)
        self.last: dict[str, float] = {}
        self.columns: list[str] = []

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"epoch": int(metrics.pop("epoch", 0)), "step": step, **{k: float(v) for k, v in metrics.items()}}
        self.last.update(row)
        if new := [name for name in row if name not in self.columns]:  # as when a running mean has its first value
            self.columns += new
            self._rewrite(self._rows())
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def take_up(self, step: int) -> None:
        """Go on after `step` optimiser steps: rows of later steps, which will be done again, are dropped."""
        rows = [row for row in self._rows() if int(row["step"]) < step]
        self.columns = list(rows[0]) if rows else []
        self._rewrite(rows)

    def _rows(self) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.path.read_text()))) if self.path.exists() else []

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        if self.columns:
            writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path, text.getvalue())


class Describe(pl.Callback):
    """Writes {"size", "mean", "std", "view_set", "config"} into each checkpoint as `massrl`; notes the first step."""

    def __init__(self, data: BetonDataModule, config: dict[str, Any]):
        view_set = data.view_set
        self.content = {
            "size": view_set.size,
            "mean": [float(x) for x in data.mean],
            "std": [float(x) for x in data.std],
            "view_set": view_set.to_dict(),
            "config": config,
        }
        self.stepped = False

    def on_train_batch_end(self, *_: Any) -> None:
        self.stepped = True

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict) -> None:
        checkpoint["massrl"] = self.content


def environment(words: list[str]) -> dict[str, Any]:
    """Where and with what a run was started."""
    return {
        "command": shlex.join(["massrl", "pretrain", *words]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "versions": versions(),
        "git": git(),
        "python": sys.version.split()[0],
    }


def read_checkpoint(path: str | Path, method: Method) -> dict[str, Any]:
    """A checkpoint that `method` can go on from; a CheckpointError where it cannot."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; a run keeps its newest in {LAST}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError):
        raise CheckpointError(f"{path}: not a checkpoint of massrl, or cut short") from None
    name = (found.get("hyper_parameters") or {}).get("method") if isinstance(found, dict) else None
    mine = type(method).__name__
    if name is None or "state_dict" not in found or "loops" not in found:
        raise CheckpointError(f"{path}: not a checkpoint of a massrl run; it cannot be continued")
    if name != mine:
        raise CheckpointError(f"{path}: a checkpoint of {name}, not of {mine}; give --model {name} or another file")
    resolved = (found["hyper_parameters"].get("resolved") or {}).get("optim") or {}
    changed = [key for key in STORED if key in resolved and resolved[key] != getattr(method.optim, key)]
    if changed:
        what = ", ".join(
            f"optim.{key} is {resolved[key]} there and {getattr(method.optim, key)} here" for key in changed
        )
        raise CheckpointError(f"{path}: {what}; the optimiser goes on as it was saved, so leave it as it was")
    mismatch = _mismatch({k: v.shape for k, v in method.state_dict().items()}, found["state_dict"])
    if mismatch:
        raise CheckpointError(f"{path}: its {name} has other model options: {mismatch}; give the same ones")
    return found


def _mismatch(mine: dict[str, torch.Size], theirs: dict[str, torch.Tensor]) -> str:
    for name in sorted({*mine, *theirs}):
        if name not in theirs:
            return f"it has no {name}"
        if name not in mine:
            return f"it has {name}, which is not in this model"
        if mine[name] != theirs[name].shape:
            return f"{name} is {tuple(theirs[name].shape)} there and {tuple(mine[name])} here"
    return ""


def epochs_done(checkpoint: dict[str, Any] | None) -> int:
    """Epochs that a checkpoint has behind it."""
    if checkpoint is None:
        return 0
    return int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


def check_free(run: Path, ckpt_path: str | Path | None) -> None:
    """A run folder that is in use may only be continued from a checkpoint of its own."""
    if run.exists() and not run.is_dir():
        raise ConfigError(f"--run {run} is a file; name a folder")
    if run.is_dir() and any(run.iterdir()):
        own = ckpt_path is not None and run.resolve() in Path(ckpt_path).resolve().parents
        if not own:
            hint = f"continue it with --ckpt_path {run / LAST}, or " if (run / LAST).exists() else ""
            raise ConfigError(f"--run {run} is not empty; {hint}name another folder")


@contextmanager
def _folder(run: Path, describe: Describe) -> Iterator[None]:
    """The run folder; what was made of it is removed when the very first step never happens."""
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    empty = bool(made) or not any(run.iterdir())
    (run / LAST.parent).mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if not describe.stepped and empty:
            shutil.rmtree(run)
            if not made:
                run.mkdir()
            for parent in made[1:]:
                if not any(parent.iterdir()):
                    parent.rmdir()


@contextmanager
def quiet(everything: bool = False) -> Iterator[None]:
    """Without the warnings that are expected; of Lightning's and our messages only ours, or none for a rehearsal."""
    logger = logging.getLogger("pytorch_lightning.utilities.rank_zero")
    ours = str(Path(__file__).parent)

    def keep(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or (record.pathname.startswith(ours) and not everything)

    logger.addFilter(keep)
    seeds = logging.getLogger("lightning_fabric")  # "Seed set to 0"; config.yaml says it
    level = seeds.level
    seeds.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.removeFilter(keep)
        seeds.setLevel(level)


def fit(
    run: Path,
    method: Method,
    data: BetonDataModule,
    settings: dict[str, Any],
    config: dict[str, Any],
    config_text: str,
    words: list[str],
    checkpoint: dict[str, Any] | None = None,
    ckpt_path: str | Path | None = None,
) -> Path:
    """Train `method` on `data` with a Trainer of `settings`, and leave a complete run folder.

    config, config_text: the resolved settings, for checkpoints and for config.yaml.  words: the command line.
    checkpoint, ckpt_path: what to go on from, read and as a file.  Returns the newest checkpoint.
    """
    describe, metrics = Describe(data, config), Metrics(run / "metrics.csv")
    # One file, replaced in place at each epoch's end.
    keep = ModelCheckpoint(run / LAST.parent, filename=LAST.stem, save_top_k=1, enable_version_counter=False)
    others = settings.get("logger")
    others = [] if others in (None, True, False) else others if isinstance(others, list) else [others]
    settings = {
        **settings,
        "logger": [metrics, *others],
        "callbacks": [*(settings.get("callbacks") or []), describe, keep],
        "default_root_dir": str(run),
    }
    started = time.perf_counter()
    with quiet():
        trainer = pl.Trainer(**settings)
        if not trainer.is_global_zero:
            trainer.fit(method, datamodule=data, ckpt_path=ckpt_path)
            return run / LAST
        with _folder(run, describe):
            write_whole(run / "config.yaml", config_text)
            write_json(run / "environment.json", environment(words))
            metrics.take_up(int(checkpoint["global_step"]) if checkpoint else 0)
            trainer.fit(method, datamodule=data, ckpt_path=ckpt_path)
            seconds = time.perf_counter() - started
            training = {name: value for name, value in metrics.last.items() if name not in ("epoch", "step")}
            facts = {"epochs": trainer.current_epoch, "steps": trainer.global_step, **training}
            write_json(run / "metrics.json", {"seconds": {"pretrain": round(seconds, 2)}, "training": facts})
    return run / LAST
