"""Transfer: an encoder's results on several data sets, beside its untrained twin and the raw pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from massrl.evaluation.protocol import SELECTIONS
from massrl.evaluation.rows import PIXELS, UNTRAINED, VIEW, FeatureRows
from massrl.evaluation.table import aligned, html_table
from massrl.evaluation.transfer.metrics import METRICS
from massrl.evaluation.transfer.protocol import TransferProbe, Transferred
from massrl.evaluation.transfer.sets import TransferSet
from massrl.runs.record import git, versions

TRAINED = "trained"
HEADS = {TRAINED: "trained", UNTRAINED: "untrained", PIXELS: "pixels"}


@dataclass(frozen=True)
class OnSet:
    """One data set: row ("trained", "random", "pixels") -> what the protocol found, and what it depends on.

    images: how many of "train", "val" (0 where a fifth of train chose C) and "test".  classes: their names.
    labels_sha256: of the labels of all images.  warnings: sentences that must not be overlooked.
    """

    found: TransferSet
    scores: Mapping[str, Transferred]
    rows: FeatureRows
    images: Mapping[str, int]
    classes: Sequence[str]
    labels_sha256: str
    warnings: Sequence[str] = ()

    def to_dict(self) -> dict[str, Any]:
        scores = {
            row: {
                "value": one.accuracy,
                "C": one.setting["C"],
                "tried": dict(one.tried),
                "not_converged": list(one.stopped),
                **({} if one.calibration is None else {"calibration_error": one.calibration}),
            }
            for row, one in self.scores.items()
        }
        parts = {part: [str(p) for p in v] if isinstance(v, list) else str(v) for part, v in self.found.parts.items()}
        return {
            "metric": self.found.metric,
            "scores": scores,
            "images": dict(self.images),
            "classes": list(self.classes),
            "labels_sha256": self.labels_sha256,
            **({} if self.found.voc is None else {"voc": str(self.found.voc)}),
            "split": parts,
            **{f"{part}_sha256": self.rows.hashes[part] for part in ("train", "test")},
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, repr=False, eq=False)
class Transfer:
    """What an encoder's frozen features are worth on several data sets.

    sets: name -> result.  seed: of the untrained weights and the held-out images.
    """

    protocol: TransferProbe
    sets: Mapping[str, OnSet]
    seed: int

    @property
    def method(self) -> str:
        """The method of the pretraining."""
        return next(iter(self.sets.values())).rows.method

    @property
    def accuracy(self) -> float:
        """Mean over the data sets of the trained encoder's result by each set's own metric, in 0..1."""
        return self.mean(TRAINED)

    @property
    def untrained(self) -> float:
        """Mean over the data sets of the untrained network's result, in 0..1."""
        return self.mean(UNTRAINED)

    @property
    def pixels(self) -> float:
        """Mean over the data sets of the result with raw pixels in place of features, in 0..1."""
        return self.mean(PIXELS)

    def mean(self, row: str) -> float:
        """Mean over the data sets of a row's result, in 0..1."""
        return float(np.mean([one.scores[row].accuracy for one in self.sets.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: every result with all that it depends on, as `--json` writes it."""
        first = next(iter(self.sets.values())).rows
        return {
            "accuracy": {"mean": self.accuracy},
            "untrained": {"mean": self.untrained},
            "pixels": {"mean": self.pixels},
            "sets": {name: one.to_dict() for name, one in self.sets.items()},
            **self.protocol.card(),
            "method": self.method,
            "checkpoint_sha256": first.hashes["checkpoint"][TRAINED],
            "view": VIEW,
            "size": first.size,
            "mean": first.mean,
            "std": first.std,
            "layer": first.layer,
            "branch": first.branch,
            "seed": self.seed,
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table: a head, a row for each data set, and their mean."""
        rows = [row for row in HEADS if row in next(iter(self.sets.values())).scores]
        head = ["data set", "metric", "train", "test", "classes", *(f"{HEADS[row]}, %" for row in rows)]
        head += ["C", "calibration error, %"]
        cells = [[name, *self._of_set(one, rows)] for name, one in self.sets.items()]
        if len(cells) > 1:
            means = [f"{100 * self.mean(row):.1f}" for row in rows]
            cells.append(["mean", *[""] * 4, *means, "", ""])
        return [head, *cells]

    def _of_set(self, one: OnSet, rows: Sequence[str]) -> list[str]:
        trained = one.scores[TRAINED]
        counts = [str(one.images["train"] + one.images["val"]), str(one.images["test"]), str(len(one.classes))]
        error = "" if trained.calibration is None else f"{100 * trained.calibration:.1f}"
        scores = [f"{100 * one.scores[row].accuracy:.1f}" for row in rows]
        return [METRICS[one.found.metric], *counts, *scores, f"{trained.setting['C']:.3g}", error]

    def _caption(self) -> list[str]:
        rows = next(iter(self.sets.values())).rows
        warnings = [f"WARNING: {name}: {text}" for name, one in self.sets.items() for text in one.warnings]
        line = (
            f"{self.protocol.title} of {self.method} ({SELECTIONS[self.protocol.selection]}, or on the set's "
            f"validation images), at {rows.size} px, {rows.layer} of the {rows.branch} network"
        )
        return [*warnings, line]

    def __repr__(self) -> str:
        return "\n".join([*self._caption(), aligned(self.cells())])

    def _repr_html_(self) -> str:
        return f"<p>{'<br>'.join(map(escape, self._caption()))}</p>{html_table(self.cells())}"
