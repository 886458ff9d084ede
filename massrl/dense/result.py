"""The result of dense transfer: figures of the trained and the untrained backbone, with what they depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from massrl.dense.recipes import Recipe
from massrl.evaluation.table import BASELINES, aligned, html_table
from massrl.runs.record import git, versions

TRAINED, UNTRAINED = "trained", "random"


@dataclass(frozen=True, repr=False, eq=False)
class Dense:
    """What was measured on the test images, in 0..1.

    figures: row -> {measure: value}: "trained", and "random", the same network with random weights, where it was asked
    for.  per_class: row -> {class: value} of the first measure; NaN for a class that the test images do not have.
    facts: what the figures depend on: checkpoint, data, sizes, seed.
    """

    task: ClassVar[str]
    measures: ClassVar[Mapping[str, str]]  # measure -> its heading, the main one first
    protocol: Recipe
    method: str
    figures: Mapping[str, Mapping[str, float]]
    per_class: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, Any]

    @property
    def untrained(self) -> float | None:
        """The main measure of the same network with random weights; None where it was not asked for."""
        return self.figures[UNTRAINED][next(iter(self.measures))] if UNTRAINED in self.figures else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the figures with all that they depend on, as `--json` writes them."""
        return {
            "task": self.task,
            **{row: _plain(values) for row, values in self.figures.items()},
            "per_class": {row: _plain(values) for row, values in self.per_class.items()},
            **self.protocol.card(),
            "method": self.method,
            **self.facts,
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for the checkpoint and for the untrained network."""
        titles = {TRAINED: f"{self.method}, trained", **BASELINES}
        head = ["test images, %", *self.measures.values()]
        rows = [
            [titles[row], *(f"{100 * values[measure]:.1f}" for measure in self.measures)]
            for row, values in self.figures.items()
        ]
        return [head, *rows]

    def _warnings(self) -> list[str]:
        return [f"WARNING: {one}" for one in self.facts.get("warnings", [])]

    def _caption(self) -> str:
        facts = self.facts
        return (
            f"{self.protocol.title} ({self.protocol.steps} steps of {self.protocol.batch_size} images), "
            f"{facts['train_images']} training and {facts['test_images']} test images, {len(facts['classes'])} "
            f"classes, {facts['branch']} network"
        )

    def __repr__(self) -> str:
        return "\n".join([*self._warnings(), self._caption(), aligned(self.cells())])

    def _repr_html_(self) -> str:
        loud = "".join(f"<p><b>{escape(one)}</b></p>" for one in self._warnings())
        return f"{loud}<p>{escape(self._caption())}</p>{html_table(self.cells())}"


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    """With None in place of NaN, which JSON does not have."""
    return {key: None if math.isnan(value) else value for key, value in values.items()}


class Detection(Dense):
    """Average precision of a detector, as COCO defines it (IoU .5 to .95), over the classes of the test images."""

    task = "detect"
    measures = {
        "ap": "AP",
        "ap50": "AP50",
        "ap75": "AP75",
        "ap_small": "small",
        "ap_medium": "medium",
        "ap_large": "large",
    }

    @property
    def ap(self) -> float:
        """Average precision in 0..1, the mean over IoU thresholds .5, .55 ... .95 and classes."""
        return self.figures[TRAINED]["ap"]


class Segmentation(Dense):
    """Mean intersection over union of a linear head on frozen features, over the classes that occur."""

    task = "segment"
    measures = {"miou": "mIoU", "accuracy": "pixels right"}

    @property
    def miou(self) -> float:
        """Mean over classes of intersection / union of all test pixels, in 0..1."""
        return self.figures[TRAINED]["miou"]
