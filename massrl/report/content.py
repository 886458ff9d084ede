"""Read a run folder: its trainings, configuration, logs and measured accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError
from massrl.evaluation.table import HEADINGS
from massrl.report.figures import title
from massrl.runs.evaluations import kept
from massrl.runs.folder import EVALUATION, METRICS, Run, is_run, read_json
from massrl.runs.record import file_sha256


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    runs: by name; several where `massrl quickstart` wrote the folder, else one.  metrics, evaluation: contents of
    metrics.json and evaluation.json, {} when missing.  records: of each run, those in its folder evaluations.
    """

    path: Path
    runs: dict[str, Run]
    metrics: dict
    evaluation: dict
    records: dict[str, list[dict[str, Any]]]

    @property
    def accuracies(self) -> dict[str, dict]:
        """{measure: {row: {"mean", "std", "draws"}}} of the measures in metrics.json, in 0..1."""
        return {m: self.metrics[m] for m in HEADINGS if self.metrics.get(m)}

    @property
    def paired(self) -> dict:
        """Paired differences between rows, as massrl.evaluation.table.compare returns them; {} when missing."""
        return self.evaluation.get("paired") or self.metrics.get("paired") or {}

    def checkpoint_sha256(self, name: str) -> str | None:
        """Of the newest checkpoint of a run; None where it has none."""
        file = self.runs[name].checkpoint
        return file_sha256(file) if file.exists() else None

    @property
    def titles(self) -> dict[str, str]:
        """{run: name of its method as written in the report}."""
        return {name: title(name) for name in self.runs}


def read(path: Path) -> Contents:
    """Read the run folder at path. Raises ConfigError when it does not exist or is not a run."""
    if not path.is_dir():
        raise ConfigError(
            f"{path}: no such run folder; `massrl pretrain` and `massrl quickstart` print the path of theirs"
        )
    if is_run(path):
        alone = Run(path)
        runs = {alone.method.lower() if alone.config else path.name: alone}
    else:
        runs = {folder.name: Run(folder) for folder in sorted(filter(is_run, path.iterdir()))}
    metrics = read_json(path / METRICS)
    if not runs and not metrics:
        raise ConfigError(f"{path}: not a run folder: it has no config.yaml, metrics.csv or metrics.json")
    return Contents(path, runs, metrics, read_json(path / EVALUATION), {name: kept(run) for name, run in runs.items()})
