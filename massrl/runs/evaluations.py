"""RUN/evaluations: the records of `massrl knn`, `linear`, `semi` and `finetune` on a run, which its report shows."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_loading.errors import UserError
from massrl.runs.folder import Run, read_json
from massrl.runs.record import write_json
from massrl.runs.shapes import NUMBER, misfit

FOLDER = "evaluations"
SETTINGS = ("protocol", "selection", "parameters", "labels", "layer", "branch", "view", "seed")
IMAGES = ("train_sha256", "test_sha256")
ACCURACY = {"mean!": NUMBER, "std!": NUMBER | None}
RECORD = {  # what the report takes from a record
    **dict.fromkeys(("protocol!", "source!", "selection!", "checkpoint_sha256!"), str),
    "accuracy!": ACCURACY,
    "parameters!": {},
    "split!": {"test!": str | list},
    "branch": str | None,
    "warnings": list | None,
}
log = logging.getLogger(__name__)


def keep(run: Run, record: Mapping[str, Any]) -> Path | None:
    """Write a record, in place of an earlier one with the same settings, images and seed, and return its path.

    None, with a warning, where the folder cannot be written.
    """
    settings = json.dumps({key: record.get(key) for key in (*SETTINGS, *IMAGES)}, sort_keys=True)
    words = f"{record['protocol']} {labels_used(record)}".lower().replace(" %", "pct")
    name = re.sub(r"[^a-z0-9.]+", "-", words).strip("-")[:60]
    path = run.path / FOLDER / f"{name}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}.json"
    try:
        path.parent.mkdir(exist_ok=True)
        return write_json(path, dict(record))
    except (OSError, UserError) as error:
        log.warning("this evaluation is not kept for the report: %s: %s", path, error)
        return None


def kept(run: Run) -> list[dict[str, Any]]:
    """The records of a run, by name; files that hold none are left out, with a warning."""
    found = []
    for path in sorted((run.path / FOLDER).glob("*.json")):
        try:
            record = read_json(path)
        except UserError as error:
            log.warning("%s; it is left out of the report", error)
            continue
        if reason := misfit(record, RECORD):
            log.warning("%s is no record of an evaluation (%s); it is left out of the report", path, reason)
        else:
            found.append(record)
    return found


def labels_used(record: Mapping[str, Any]) -> str:
    """Which labels a record used: "all", "10pct", ..."""
    return str(record.get("labels") or record["parameters"].get("labels") or "all")
