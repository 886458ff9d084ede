"""RUN/evaluations: the records of `massrl knn`, `linear`, `semi` and `finetune` on a run, which its report shows."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from massrl.runs.folder import read_json
from massrl.runs.record import write_json

FOLDER = "evaluations"
log = logging.getLogger(__name__)


def keep(run: Path, record: Mapping[str, Any]) -> Path | None:
    """Write a record under its protocol, labels and test images, in place of an earlier one of these.

    Returns its path; None, with a warning, where the folder cannot be written.
    """
    labels = str(labels_of(record)).replace(" %", "pct")
    words = [record["protocol"], *([] if labels == "all" else [labels]), record["test_sha256"][:8]]
    name = re.sub(r"[^a-z0-9.]+", "-", " ".join(words).lower()).strip("-")
    try:
        (run / FOLDER).mkdir(exist_ok=True)
        return write_json(run / FOLDER / f"{name}.json", dict(record))
    except OSError as error:
        log.warning("%s is not kept for the report: %s", run / FOLDER / name, error.strerror or error)
        return None


def kept(run: Path) -> list[dict[str, Any]]:
    """The records of a run, by name; those of another form are left out, with a warning."""
    found = []
    for path in sorted((run / FOLDER).glob("*.json")):
        record = read_json(path)
        if isinstance(record, dict) and {"accuracy", "protocol", "checkpoint_sha256", "split"} <= set(record):
            found.append(record)
        else:
            log.warning("%s is left out: no record of an evaluation", path)
    return found


def labels_of(record: Mapping[str, Any]) -> str:
    """Which labels a record used: "all", "10pct", ..."""
    return str(record.get("labels") or record["parameters"].get("labels") or "all")
