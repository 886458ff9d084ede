"""Read a run folder: its trainings, configuration, logs and measured accuracies."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from data_loading.errors import ConfigError
from massrl.evaluation.table import HEADINGS
from massrl.report.figures import title
from massrl.runs.evaluations import ACCURACY, kept
from massrl.runs.folder import (
    CONFIG,
    ENVIRONMENT,
    EVALUATION,
    LOG,
    METRICS,
    Run,
    is_run,
    read_csv,
    read_json,
    read_yaml,
)
from massrl.runs.record import file_sha256
from massrl.runs.shapes import ANY, NUMBER, misfit

log = logging.getLogger(__name__)
GAIN = {**ACCURACY, "draws!": int, "low!": NUMBER | None, "high!": NUMBER | None, "won!": int | None}
CARD = {"protocol!": str, "source!": object, "selection!": object, "parameters!": {}}
SHAPES: dict[str, dict[str, Any]] = {  # file -> what the report takes from it
    CONFIG: {
        "model": ({"class_path": str | None, "init_args": ({}, NoneType)}, str | None),
        "data": ({"train!": str | list, "cache_dir": str}, NoneType),
    },
    ENVIRONMENT: {"started": str},
    METRICS: {
        **dict.fromkeys(HEADINGS, {ANY: {**ACCURACY, "draws!": int}}),
        "seconds": ({ANY: NUMBER}, NoneType),
        "training": ({"alarm": str | None, "advice": str | None}, NoneType),
        "rank": NUMBER | None,
        "alignment": NUMBER | None,
    },
    EVALUATION: {
        "paired": {ANY: {ANY: {ANY: GAIN}}},
        "protocols": ([CARD], {}),  # a mapping in massrl 0.2
        "untrained": ({"rank": NUMBER, "alignment": NUMBER}, NoneType),
    },
}


@dataclass(frozen=True)
class Contents:
    """What a folder holds.

    runs: by name; several where `massrl quickstart` wrote the folder, else one.  metrics, evaluation: contents of
    metrics.json and evaluation.json, {} when missing.  records: of each run, those in its folder evaluations.
    left_out: of each file that is damaged or has another form, a line; it counts as missing.
    """

    path: Path
    runs: dict[str, Run]
    metrics: dict
    evaluation: dict
    records: dict[str, list[dict[str, Any]]]
    left_out: list[str] = field(default_factory=list)

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
    """Read the run folder at path; what is damaged in it is left out, and said.

    Raises ConfigError when it does not exist or is not a run.
    """
    if not path.is_dir():
        raise ConfigError(
            f"{path}: no such run folder; `massrl pretrain` and `massrl quickstart` print the path of theirs"
        )
    left_out: list[str] = []
    folders = [path] if is_run(path) else sorted(filter(is_run, path.iterdir()))
    found = [_run(folder, left_out) for folder in folders]
    runs = {(one.method.lower() if one.config and folders == [path] else one.path.name): one for one in found}
    if not runs and not (path / METRICS).exists():
        raise ConfigError(f"{path}: not a run folder: it has no config.yaml, metrics.csv or metrics.json")
    alone = next(iter(runs.values())) if folders == [path] else None
    metrics = alone.metrics if alone else _checked(path / METRICS, read_json, SHAPES[METRICS], left_out)
    evaluation = _checked(path / EVALUATION, read_json, SHAPES[EVALUATION], left_out)
    records = {name: kept(run) for name, run in runs.items()}
    for line in left_out:
        log.warning("%s; it is left out of the report", line)
    return Contents(path, runs, metrics, evaluation, records, left_out)


def _run(folder: Path, left_out: list[str]) -> Run:
    """A run whose files are read: those that are damaged are empty, and named in `left_out`."""
    run = Run(folder)
    for name, file, reader in (
        ("config", CONFIG, read_yaml),
        ("environment", ENVIRONMENT, read_json),
        ("columns", LOG, read_csv),
        ("metrics", METRICS, read_json),
    ):
        vars(run)[name] = _checked(folder / file, reader, SHAPES.get(file, {}), left_out)  # as the property keeps it
    return run


def _checked(path: Path, reader: Callable[[Path], dict], shape: dict[str, Any], left_out: list[str]) -> dict:
    """What a reader finds in a file; {}, with a line in `left_out`, where it is damaged or has another shape."""
    try:
        found = reader(path)
    except ConfigError as error:
        left_out.append(str(error))
        return {}
    if reason := misfit(found, shape):
        left_out.append(f"{path}: of another form than massrl writes: {reason}")
        return {}
    return found
