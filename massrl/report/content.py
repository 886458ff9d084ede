"""What a run folder holds, read once."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from data_loading import sources
from data_loading.errors import ConfigError
from massrl.evaluation.table import HEADINGS
from massrl.report.figures import title


@dataclass(frozen=True)
class Training:
    """One pretraining: its folder, how it is called, config.yaml, environment.json, columns of metrics.csv."""

    path: Path
    name: str

    @cached_property
    def config(self) -> dict:
        file = self.path / "config.yaml"
        return (yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file.exists() else {}

    @cached_property
    def environment(self) -> dict:
        return read_json(self.path / "environment.json")

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        return read_csv(self.path / "metrics.csv")

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def method(self) -> str:
        """The method's class name, as config.yaml has it."""
        model = self.config.get("model") or {}
        return str(model.get("class_path", self.name) if isinstance(model, dict) else model).rpartition(".")[2]

    @property
    def backbone(self) -> str:
        model = self.config.get("model") or {}
        return str((model.get("init_args") or {}).get("backbone", "")) if isinstance(model, dict) else ""

    @property
    def data(self) -> str:
        return str((self.config.get("data") or {}).get("train", ""))

    def file(self) -> Path | list[Path]:
        """The training data as .beton files: a folder's stands in the cache that the run used."""
        data = self.config["data"]
        return sources.as_beton(data["train"], Path(data["cache_dir"]), skip_bad=bool(data.get("skip_bad")))

    @property
    def epochs(self) -> int | None:
        done = self.columns.get("epoch", np.zeros(0))
        return int(np.nanmax(done)) + 1 if len(done) else None


@dataclass(frozen=True)
class Run:
    """A run folder: its trainings by name (a plain run is its own), metrics.json, evaluation.json."""

    path: Path
    trainings: dict[str, Training]
    metrics: dict
    evaluation: dict

    @property
    def accuracies(self) -> dict[str, dict]:
        return {m: self.metrics[m] for m in HEADINGS if self.metrics.get(m)}

    @property
    def paired(self) -> dict:
        return self.evaluation.get("paired") or self.metrics.get("paired") or {}

    @property
    def titles(self) -> dict[str, str]:
        return {name: title(name) for name in self.trainings}


def read(path: Path) -> Run:
    """The run at path; raises ConfigError where there is none."""
    if not path.is_dir():
        raise ConfigError(
            f"{path}: no such run folder; `massrl pretrain` and `massrl quickstart` print where theirs is"
        )
    if (path / "config.yaml").exists() or (path / "metrics.csv").exists():
        alone = Training(path, path.name)
        trainings = {alone.method.lower() if alone.config else path.name: alone}
    else:
        folders = sorted(p for p in path.iterdir() if (p / "config.yaml").exists() or (p / "metrics.csv").exists())
        trainings = {p.name: Training(p, p.name) for p in folders}
    metrics = read_json(path / "metrics.json")
    if not trainings and not metrics:
        raise ConfigError(f"{path}: not a run folder: it holds no config.yaml, metrics.csv or metrics.json")
    return Run(path, trainings, metrics, read_json(path / "evaluation.json"))


def read_json(path: Path) -> dict:
    if not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: not valid JSON ({error}); write it again or remove it") from None


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns of metrics.csv as float64, NaN where a row has no value."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        return {
            name: np.array([float(r[name]) if r[name] else np.nan for r in rows]) for name in (rows[0] if rows else [])
        }
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path}: a row does not fit its head ({error}); is the file cut short?") from None
