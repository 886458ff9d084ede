"""A run folder: the names of its files, what they hold, and when a folder may be used.

config.yaml        every setting as it was used, views and seeds included; `--config` takes it
environment.json   command, versions, machine, git revision
metrics.csv        what was logged, a row per logged step; a continued run appends to it
metrics.json       seconds, and the last value of each metric; of an evaluation its accuracies
evaluation.json    paired differences, protocols, hashes, split and seeds behind those accuracies
evaluations/       records of massrl knn, linear, semi and finetune on this run, which its report shows
wandb/             of --logger wandb: the number of the run there, and what wandb keeps
tensorboard/       of --logger tensorboard
checkpoints/       last.ckpt, replaced every few minutes and at the end of each epoch, and previous.ckpt, the one before
heartbeat.json     state, process, host, step, epoch and loss, rewritten every half minute; `massrl runs` reads it
.lock              while a run works in the folder: its process and host
export/            the encoder alone: a timm folder, or model.safetensors with its card model.json; a continued run
                   replaces it
nan.json           where numbers were not finite: the step, its images and gradients
views.png          views of the first batch, as the network got them
figures/           pictures of the report
report.html        all of it on one page
"""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from data_loading import sources
from data_loading.config import yaml_text
from data_loading.errors import ConfigError
from massrl.runs.checkpoint_files import FOLDER, LAST, is_unfinished, remove_unfinished
from massrl.runs.lock import LOCK, locked
from massrl.runs.record import git, versions, write_json

CONFIG, ENVIRONMENT, LOG = "config.yaml", "environment.json", "metrics.csv"
METRICS, EVALUATION, FIGURES, REPORT = "metrics.json", "evaluation.json", "figures", "report.html"
EXPORT, NAN, VIEWS = "export", "nan.json", "views.png"
log = logging.getLogger(__name__)
# The keys of metrics.json; what else an evaluation says goes into evaluation.json.
SUMMARY = (
    "linear_1_per_class",
    "linear_10pct",
    "linear_all",
    "knn",
    "rank",
    "alignment",
    "seconds",
    "training",
)


class Run(os.PathLike):
    """The folder of a pretraining, as `massrl.pretrain` returns it: `Run("runs/first")` reads an earlier one.

    Everything is read when it is first asked for. A Run can be given wherever a checkpoint is asked for.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint: RUN/checkpoints/last.ckpt."""
        return self.path / LAST

    @cached_property
    def config(self) -> dict[str, Any]:
        """All settings as they were used (config.yaml); empty where there is no such file."""
        return read_yaml(self.path / CONFIG)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Command, versions, machine and git revision (environment.json)."""
        return read_json(self.path / ENVIRONMENT)

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """What was logged (metrics.csv): name -> float64 (rows,), NaN where a row has no value."""
        return read_csv(self.path / LOG)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Seconds and the last value of each metric (metrics.json)."""
        return read_json(self.path / METRICS)

    @property
    def ended(self) -> int | None:
        """Optimiser steps after which the training ended; None where it has not, as far as metrics.json says."""
        training = self.metrics.get("training")
        return training.get("steps") if isinstance(training, dict) else None

    @property
    def method(self) -> str:
        """The method's class name; the folder's name where its settings are missing."""
        model = self.config.get("model") or {}
        path = model.get("class_path") if isinstance(model, dict) else model
        return str(path).rpartition(".")[2] if path else self.name

    @property
    def backbone(self) -> str:
        """The backbone's name."""
        model = self.config.get("model") or {}
        return str((model.get("init_args") or {}).get("backbone", "")) if isinstance(model, dict) else ""

    @property
    def data(self) -> str:
        """The training data, as they were given."""
        return str((self.config.get("data") or {}).get("train", ""))

    def data_file(self) -> Path | list[Path]:
        """The training data as .beton files; of a folder, its file in the cache that the run used."""
        data = self.config.get("data")
        if not data:
            raise ConfigError(f"{self.path}: has no {CONFIG}, so its data are not known")
        return sources.as_beton(
            data["train"], Path(data.get("cache_dir", sources.cached.CACHE)), skip_bad=bool(data.get("skip_bad"))
        )

    @property
    def epochs(self) -> int | None:
        """Epochs that were logged; None where nothing was."""
        done = self.columns.get("epoch", np.zeros(0))
        done = done[np.isfinite(done)]
        return int(done.max()) + 1 if len(done) else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: path, method, backbone, data, epochs, and metrics.json."""
        facts = {name: getattr(self, name) for name in ("method", "backbone", "data", "epochs")}
        return {"path": str(self.path), **facts, **self.metrics}

    def _rows(self) -> list[tuple[str, str]]:
        training, seconds = self.metrics.get("training") or {}, self.metrics.get("seconds") or {}
        if not is_run(self.path):
            return [("folder", str(self.path)), ("run", "none there yet")]
        method = ", ".join(filter(None, (self.method, self.backbone)))
        rows = [("folder", str(self.path)), ("method", method), ("data", self.data)]
        rows += [("epochs", str(self.epochs))] if self.epochs else []
        rows += [("minutes", f"{sum(seconds.values()) / 60:.1f}")] if seconds else []
        rows += [("loss", f"{training['loss']:.4f}")] if "loss" in training else []
        accuracies = {"knn": "online knn", "linear": "online linear", "val_knn": "val knn", "val_linear": "val linear"}
        rows += [(words, f"{training[name]:.1%}") for name, words in accuracies.items() if name in training]
        rows += [("alarm", training["alarm"])] if "alarm" in training else []
        return [*rows, ("checkpoint", str(self.checkpoint) if self.checkpoint.exists() else "none yet")]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<14}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in self._rows())
        return f"<table>{rows}</table>"


def run_of(checkpoint: Path) -> Run | None:
    """The run of a run folder, or of the folder that a checkpoint lies in, where its settings are there."""
    path = checkpoint if checkpoint.is_dir() else checkpoint.parent.parent
    if len(checkpoint.parts) < 3 and not checkpoint.is_dir():  # named from within its run folder
        path = checkpoint.resolve().parent.parent
    return Run(path) if (path / CONFIG).is_file() else None


def is_run(path: Path) -> bool:
    """Whether a folder is that of a pretraining."""
    return any((path / name).exists() for name in (CONFIG, LOG, LAST))


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, {} where there is none; ConfigError where it is not valid or holds no mapping."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise ConfigError(f"{path}: not valid JSON ({error}); write it again or remove it") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds a {type(found).__name__}, not an object; write it again or remove it")
    return found


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, {} where there is no file; ConfigError where it is not valid or holds none."""
    return yaml_text.read_mapping(path) if path.exists() else {}


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns of a CSV of numbers as float64, NaN where a row has no value; {} where there is no such file.

    A last row that is torn, as by a kill while it was written, is left out, with a warning. ConfigError where another
    one does not fit.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            names, *rows = [row for row in csv.reader(file) if row] or [[]]
        wrong = next((number for number, row in enumerate(rows, 2) if not _fits(row, names)), None)
    except (OSError, ValueError, csv.Error) as error:  # ValueError: no UTF-8
        raise ConfigError(f"{path}: not a table of numbers ({error}); write it again or remove it") from None
    if wrong is not None and wrong == len(rows) + 1 and len(rows) > 1:
        log.warning("%s: its last row is torn, and is left out", path)
        del rows[-1]
    elif wrong is not None:
        raise ConfigError(f"{path}: row {wrong} does not fit its head; is the file damaged?")
    if not names:  # of a run that has logged nothing yet
        return {}
    values = np.array([[float(cell) if cell else np.nan for cell in row] for row in rows]).reshape(-1, len(names))
    return dict(zip(names, values.T, strict=True))


def _fits(row: list[str], names: list[str]) -> bool:
    """Whether a row of a CSV has a number or nothing for each name."""
    try:
        _ = [float(cell) for cell in row if cell]
    except ValueError:
        return False
    return len(row) == len(names)


def save_metrics(run: str | os.PathLike, found: dict[str, Any], **facts: Any) -> Path:
    """Write metrics.json with the keys of `found` that SUMMARY lists, and return its path.

    Any other keys, and `facts` (hashes, split, seed), go to evaluation.json with versions and git revision.
    """
    run = Path(run)
    rest = {key: value for key, value in found.items() if key not in SUMMARY}
    if rest or facts:
        write_json(run / EVALUATION, {**rest, **facts, "versions": versions(), "git": git()})
    return write_json(run / METRICS, {key: found[key] for key in SUMMARY if key in found})


def check_free(run: Path, ckpt_path: str | os.PathLike | None, resume: bool = False) -> None:
    """Refuse, by a ConfigError, a run folder in use, except to continue it from a checkpoint of its own.

    resume: a folder of a run is in order, too, as it is continued.
    """
    if run.exists() and not run.is_dir():
        raise ConfigError(f"--run {run} is a file; name a folder")
    if not run.is_dir() or is_unused(run) or (resume and any((run / name).exists() for name in (ENVIRONMENT, LAST))):
        return
    own = ckpt_path is not None and run.resolve() in Path(ckpt_path).resolve().parents
    if not own:
        hint = f"continue it with --ckpt_path {run / LAST}, or " if (run / LAST).exists() else ""
        raise ConfigError(f"--run {run} is not empty; {hint}name another folder")


def is_unused(run: Path) -> bool:
    """Whether a folder holds nothing but what a start leaves that was killed before it wrote its settings."""
    made = {run / LOCK, run / FOLDER}
    return all(path in made or path.name.startswith(".nfs") or is_unfinished(path) for path in run.rglob("*"))


@dataclass
class Claim:
    """A run folder that this process works in: `begun` is set when there is something worth keeping in it."""

    begun: bool = False


@contextmanager
def claimed(run: Path, alone: bool = False) -> Iterator[Claim]:
    """Make the run folder and hold its lock; remove what was made where an error comes before `begun` is set.

    alone: the folder must not be there, as for two runs that are named by the same second: FileExistsError else.
    ConfigError where it cannot be made, or another process works in it.
    """
    missing = [folder for folder in (run, *run.parents) if not folder.exists()]
    try:
        run.parent.mkdir(parents=True, exist_ok=True)
        run.mkdir(exist_ok=not alone)
    except OSError as error:
        if alone and run.is_dir():  # FileExistsError
            raise
        raise ConfigError(f"--run {run} cannot be made: {error.strerror or error}") from error
    claim = Claim()
    try:
        with locked(run):
            empty = is_unused(run)
            (run / FOLDER).mkdir(exist_ok=True)
            remove_unfinished(run)
            try:
                yield claim
            finally:
                if empty and not claim.begun:
                    for path in run.iterdir():
                        if path.name != LOCK:
                            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        for folder in missing:
            if not claim.begun and not any(folder.iterdir()):
                folder.rmdir()
