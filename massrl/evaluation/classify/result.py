"""Classified: the result of a protocol that trains a classifier, with the rows that stand beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from massrl.evaluation.classify.fitting import Fitted
from massrl.evaluation.classify.training import Training
from massrl.evaluation.protocol import SELECTIONS
from massrl.evaluation.table import aligned, difference, html_table, percent, summary
from massrl.runs.record import git, versions

DONE = {"linear": "linear head on frozen encoder", "semi": "fine-tuned", "finetune": "fine-tuned"}
TITLES = {
    "probe": "frozen encoder, linear probe (L-BFGS)",
    "scratch": "same network, from random weights",
    "random": "untrained network, frozen",
}


@dataclass(frozen=True, repr=False, eq=False)
class Classified:
    """Accuracies of a trained classifier on the test images, by one protocol.

    protocol: as it was used.  baseline: as its authors have it for this encoder; `differs` names what is not theirs.
    fits: row -> what each label subset gave: "trained", the checkpoint's encoder; "scratch", the same network from
    random weights, trained in the same way; "random", the untrained network, frozen.
    probe: (subsets,) accuracies in 0..1 of the linear probe on the frozen encoder, on the same label subsets; or None.
    labels: which labels were used, in words.  images: how many training and test images.
    facts: what else the numbers depend on, as JSON values.
    """

    protocol: Training
    baseline: Training
    method: str
    fits: Mapping[str, list[Fitted]]
    labels: str
    images: Mapping[str, int]
    probe: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """row -> (subsets,) accuracies in 0..1; the rows of `fits`, and "probe"."""
        found = {row: np.array([one.top1 for one in fits]) for row, fits in self.fits.items()}
        return found if self.probe is None else {**found, "probe": self.probe}

    @property
    def accuracy(self) -> float:
        """Mean over the label subsets, in 0..1."""
        return float(self.scores["trained"].mean())

    @property
    def top5(self) -> float | None:
        """How often the right class is among the five best, mean over subsets; None with at most five classes."""
        found = [one.top5 for one in self.fits["trained"]]
        return None if found[0] is None else float(np.mean(np.array(found, float)))

    @property
    def differs(self) -> dict[str, list[Any]]:
        """Setting -> [the protocol's value, the used one], for each that is not the protocol's."""
        return self.baseline.differs(self.protocol)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the accuracy with all that it depends on, as `--json` writes it."""
        rows = {row: _row(values, self.fits.get(row)) for row, values in self.scores.items()}
        trained = rows.pop("trained")
        return {
            "accuracy": {key: trained[key] for key in ("mean", "std")},
            "trained": trained,
            **rows,
            **self.protocol.card(),
            "differs": self.differs,
            "labels": self.labels,
            "images": dict(self.images),
            **self.facts,
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for the encoder and each that stands beside it."""
        five, choice = self.top5 is not None, self.protocol.selection
        head = ["", "test accuracy, %"] + ["top-5, %"] * five + ["last epoch, %"] * (choice == "test")
        head += ["rate, times"] * (choice == "held-out") + ["subsets", "trained is better by", "seconds"]
        return [head, *(self._cells(row, values, len(head)) for row, values in self.scores.items())]

    def _cells(self, row: str, values: np.ndarray, width: int) -> list[str]:
        title = f"{self.method}, {DONE[self.protocol.task]}" if row == "trained" else TITLES[row]
        fits = self.fits.get(row)
        cells = [title, percent(summary(values))]
        if fits is None:  # the linear probe has no epochs and no rate
            return [*cells, *[""] * (width - len(cells) - 3), str(len(values)), self._gain(row), ""]
        if self.top5 is not None:
            cells.append(percent(summary(np.array([one.top5 for one in fits], float))))
        if self.protocol.selection == "test":
            cells.append(percent(summary(np.array([one.last for one in fits]))))
        if self.protocol.selection == "held-out":
            cells.append(", ".join(f"{one.rate:g}" if one.held_out else "not chosen" for one in fits))
        return [*cells, str(len(values)), self._gain(row), f"{sum(one.seconds for one in fits):.0f}"]

    def _gain(self, row: str) -> str:
        if row == "trained":
            return ""
        gain = difference(self.scores["trained"], self.scores[row])
        if gain["std"] is None:
            return f"{100 * gain['mean']:+.1f}"
        interval = f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        return f"{100 * gain['mean']:+.1f} {interval}, {gain['won']} of {gain['draws']} subsets"

    def caption(self) -> list[str]:
        """Lines above the table: protocol, how it chooses, data, and the settings that are not the protocol's."""
        p, view = self.protocol, self.facts.get("view", {})
        lines = [
            f"{p.title} ({SELECTIONS[p.selection]}; labels: {self.labels}), {self.images['train']} training and "
            f"{self.images['test']} test images at {view.get('size')} px, {self.facts.get('branch', 'online')} network"
        ]
        changed = [f"{name} {_said(used)} (protocol: {_said(own)})" for name, (own, used) in self.differs.items()]
        lines = [f"WARNING: {one}" for one in self.facts.get("warnings", [])] + lines
        return lines + ([f"differs from the protocol: {'; '.join(changed)}"] if changed else [])

    def __repr__(self) -> str:
        return "\n".join([*self.caption(), aligned(self.cells())])

    def _repr_html_(self) -> str:
        return f"<p>{'<br>'.join(map(escape, self.caption()))}</p>{html_table(self.cells())}"


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None or value == () else str(value)


def _row(values: np.ndarray, fits: list[Fitted] | None) -> dict[str, Any]:
    """A row as JSON values."""
    found: dict[str, Any] = {**summary(values), "values": [float(one) for one in values]}
    if fits is None:
        return found
    if fits[0].top5 is not None:
        found["top5"] = [one.top5 for one in fits]
    found |= {"last": [one.last for one in fits], "rate": [one.rate for one in fits]}
    if fits[0].held_out:
        found["held_out"] = [{f"{rate:g}": value for rate, value in one.held_out.items()} for one in fits]
    return {**found, "seconds": [one.seconds for one in fits]}
