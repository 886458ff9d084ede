"""What a run folder holds, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.evaluation.table import HEADINGS
from massrl.report.figures import title
from massrl.runs.folder import Run as Training
from massrl.runs.folder import is_run, read_json


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
    if is_run(path):
        alone = Training(path)
        trainings = {alone.method.lower() if alone.config else path.name: alone}
    else:
        folders = sorted(p for p in path.iterdir() if is_run(p))
        trainings = {p.name: Training(p) for p in folders}
    metrics = read_json(path / "metrics.json")
    if not trainings and not metrics:
        raise ConfigError(f"{path}: not a run folder: it holds no config.yaml, metrics.csv or metrics.json")
    return Run(path, trainings, metrics, read_json(path / "evaluation.json"))
