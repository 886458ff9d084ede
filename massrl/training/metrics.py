"""metrics.csv: what a run logs, on disk as soon as it is logged."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.config.lightning_package import pl

rank_zero_only = pl.utilities.rank_zero_only


class Metrics(pl.loggers.Logger):
    """A Lightning logger that writes columns epoch, step and one per metric, a row per logged step.

    Not Lightning's CSVLogger: that one removes an earlier file of the same folder, so that a continued run would lose
    the rows of its first part, and sorts the columns.
    """

    name = version = None

    def __init__(self, path: str | os.PathLike):
        super().__init__()
        self.path = Path(path)
        self.last: dict[str, float] = {}
        self.columns: list[str] = []

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row: dict[str, Any] = {
            "epoch": int(metrics.pop("epoch", 0)),
            "step": step,
            **{k: float(v) for k, v in metrics.items()},
        }
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
    def resume(self, step: int) -> None:
        """Continue after `step` optimiser steps: rows of later steps, which will be done again, are dropped."""
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
