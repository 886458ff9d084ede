"""metrics.csv: what a run logs, on disk as soon as it is logged."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from data_loading.config.atomic import write_whole
from data_loading.config.lightning_package import pl
from data_loading.errors import UserError
from massrl.callbacks import MACHINE

Row = tuple[int, frozenset[str]]  # step, and the names of what was logged in it
rank_zero_only = pl.utilities.rank_zero_only
log = logging.getLogger(__name__)


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
        values = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        row: dict[str, Any] = {"epoch": int(metrics.get("epoch", 0)), "step": step, **values}
        self.last.update(row)
        if new := [name for name in row if name not in self.columns]:  # as when a running mean has its first value
            self.columns += new
            self._rewrite(self._rows())
        try:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerow(row)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written: {error.strerror or error}; the run ends, and goes on from its newest "
                "checkpoint"
            ) from error

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def resume(self, step: int) -> None:
        """Continue after `step` optimiser steps: rows of later steps, which will be done again, are dropped.

        So are rows that are torn, as by a full disk, which is said.
        """
        rows = self._rows()
        whole = [row for row in rows if _is_whole(row)]
        if torn := len(rows) - len(whole):
            log.warning("%s: %d rows that are torn or damaged are left out", self.path, torn)
        kept = [row for row in whole if int(row["step"]) < step]
        self.columns = list(kept[0]) if kept else []
        self._rewrite(kept)

    def repeated(self, step: int) -> set[Row]:
        """The rows that `resume` would drop, as they will be logged again."""
        rows = [row for row in self._rows() if _is_whole(row) and int(row["step"]) >= step]
        return {row_of(int(row["step"]), (name for name in row if row[name] and name != "step")) for row in rows}

    def _rows(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace").replace("\0", "\ufffd")
        return list(csv.DictReader(io.StringIO(text)))

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        if self.columns:
            writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path, text.getvalue(), synced=True)


def row_of(step: int, names: Iterable[str]) -> Row:
    """A row by what is in it; the first steps after a start have no speed yet."""
    return step, frozenset(names) - set(MACHINE)


def _is_whole(row: dict[Any, Any]) -> bool:
    """Whether a row has a number or nothing in each column, and a step."""
    try:
        for value in row.values():  # None where the row ends early, a list where it goes on
            float(value or (0 if value == "" else "none"))
        return int(row["step"]) >= 0
    except (KeyError, TypeError, ValueError):
        return False
