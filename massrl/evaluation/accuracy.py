"""Accuracy of a checkpoint by one protocol: the functions under `massrl linear` and `massrl knn`, and their result."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Any, NamedTuple

import numpy as np

from massrl.evaluation.features import Features, require_labels
from massrl.evaluation.knn import KNN
from massrl.evaluation.linear import Linear
from massrl.evaluation.options import check_options
from massrl.evaluation.protocol import SELECTIONS, Protocol
from massrl.evaluation.rows import PIXELS, UNTRAINED, VIEW, Data, FeatureRows, feature_rows
from massrl.evaluation.subsets import draw, draws_of, fraction
from massrl.evaluation.table import BASELINES, aligned, difference, percent, summary
from massrl.methods.base import Branch
from massrl.runs.record import git, versions

CACHE = "runs/.cache"


@dataclass(frozen=True, repr=False, eq=False)
class Accuracy:
    """The accuracy of an encoder's features by one protocol, with its baselines on the same label subsets.

    scores: row -> (draws,) accuracies in 0..1: the encoder ("trained"), "pixels", and "random", its untrained twin.
    said: the protocol's parameters in words.  labels: "one", "all" or a fraction of the training labels.
    """

    protocol: Protocol
    said: str
    labels: str | float
    seed: int
    split: dict[str, str | list[str]]
    scores: dict[str, np.ndarray]
    rows: FeatureRows

    @property
    def accuracy(self) -> float:
        """Mean over the label subsets, in 0..1."""
        return float(self.scores["trained"].mean())

    @property
    def untrained(self) -> float:
        """The same network with random weights: mean over the label subsets, in 0..1."""
        return float(self.scores[UNTRAINED].mean())

    @property
    def pixels(self) -> float:
        """Raw pixels in place of features: mean over the label subsets, in 0..1."""
        return float(self.scores[PIXELS].mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the accuracy with all that it depends on, as `--json` writes it."""

        def entry(row: str) -> dict[str, Any]:
            found = summary(self.scores[row])
            return {key: found[key] for key in ("mean", "std")}

        rows, card = self.rows, self.protocol.card()
        view = {"size": rows.size, "mean": rows.mean, "std": rows.std, "labels": self.labels}
        return {
            "accuracy": entry("trained"),
            "untrained": entry(UNTRAINED),
            **card,
            "parameters": {**card["parameters"], **view},
            "checkpoint_sha256": rows.hashes["checkpoint"]["trained"],
            **{f"{part}_sha256": rows.hashes[part] for part in ("train", "test")},
            "split": self.split,
            "view": VIEW,
            "layer": rows.layer,
            "branch": rows.branch,
            "seed": self.seed,
            "draws": len(self.scores["trained"]),
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for the encoder and each baseline."""
        titles = {"trained": f"{self.rows.method}, trained", **BASELINES}
        head = ["", "test accuracy, %", "draws", "trained is better by"]
        return [
            head,
            *([titles[r], percent(summary(s)), str(len(s)), self._gain(r)] for r, s in self.scores.items()),
        ]

    def _gain(self, row: str) -> str:
        if row == "trained":
            return ""
        gain = difference(self.scores["trained"], self.scores[row])
        if gain["std"] is None:
            return f"{100 * gain['mean']:+.1f}"
        interval = f"[{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
        return f"{100 * gain['mean']:+.1f} {interval}, {gain['won']} of {gain['draws']} draws"

    def _caption(self) -> str:
        train, test = self.rows.features["trained"]
        chosen = f"; {SELECTIONS['test']}" if self.protocol.optimistic else ""
        return (
            f"{self.protocol.title} ({self.said}; labels: {self.labels}{chosen}), {len(train)} training and "
            f"{len(test)} test images at {self.rows.size} px, {self.rows.layer} of the {self.rows.branch} network"
        )

    def __repr__(self) -> str:
        return f"{self._caption()}\n{aligned(self.cells())}"

    def _repr_html_(self) -> str:
        head, *rows = ([escape(cell) for cell in row] for row in self.cells())
        lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
        return f"<p>{escape(self._caption())}</p><table>{''.join(lines)}</table>"


def linear(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    C: float | None = None,
    labels: str | float = "all",
    draws: int = 20,
    layer: str | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Accuracy:
    """Accuracy of a linear classifier on an encoder's frozen features (protocol linear v1), as `massrl linear`.

    Args:
        checkpoint: a run, its folder or a checkpoint file.
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        C: inverse strength of the penalty; 1 unless said, 10 with one label a class.
        labels: training labels that are used: "one" (of each class), "10pct", "all", or a fraction.
        draws: how many random label subsets; one where all labels are used.
        layer: where features are taken, a name of `massrl.evaluation.layers`; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the view in pixels; that of the pretraining unless said.
        seed: of the untrained weights and the label subsets.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    check_options(draws=draws)
    fraction(labels)  # a wrong one is refused before the work
    protocol = Linear() if C is None else Linear(C=C, C_one_per_class=C)
    count = draws_of(labels, draws)

    def score(train: Features, test: Features) -> np.ndarray:
        x, test_x = protocol.scale(train.x, test.x)
        subsets = (draw(train.y, labels, seed, number) for number in range(count))
        return np.array([protocol.scaled_accuracy(x, train.y, test_x, test.y, rows) for rows in subsets])

    said = f"C {Linear.C:g}, {Linear.C_one_per_class:g} with one label a class" if C is None else f"C {C:g}"
    view = _View(layer, branch, size, seed, batch_size, num_workers, cache_dir)
    return _measured(checkpoint, train, test, protocol, said, score, labels, view)


def knn(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    k: int = KNN.k,
    tau: float = KNN.tau,
    layer: str | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Accuracy:
    """Accuracy of nearest neighbours in an encoder's features (protocol knn v1), as `massrl knn`.

    Args:
        checkpoint: a run, its folder or a checkpoint file.
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        k: neighbours that vote.
        tau: temperature of the votes, exp(cosine / tau): the smaller, the more nearer ones count.
        layer: where features are taken, a name of `massrl.evaluation.layers`; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the view in pixels; that of the pretraining unless said.
        seed: of the untrained weights.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    check_options(k=k)
    protocol = KNN(k=k, tau=tau)

    def score(train: Features, test: Features) -> np.ndarray:
        return np.array([protocol.accuracy(train.x, train.y, test.x, test.y)])

    view = _View(layer, branch, size, seed, batch_size, num_workers, cache_dir)
    return _measured(checkpoint, train, test, protocol, f"k {k}, tau {tau:g}", score, "all", view)


class _View(NamedTuple):
    """Where and how features are taken."""

    layer: str | None
    branch: Branch | None
    size: int | None
    seed: int
    batch_size: int
    num_workers: int
    cache_dir: str | os.PathLike


def _measured(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    protocol: Protocol,
    said: str,
    score: Callable[[Features, Features], np.ndarray],
    labels: str | float,
    view: _View,
) -> Accuracy:
    options = view._asdict()
    layer, branch = options.pop("layer"), options.pop("branch")
    check_options(**options)
    layers = None if layer is None else [layer]
    rows = feature_rows({"trained": checkpoint}, train, test, labelled=True, layers=layers, branch=branch, **options)
    given = {"train": train, "test": test}
    for part, features in zip(given, rows.features["trained"], strict=True):
        require_labels(features, given[part])
    scores = {row: score(*rows.features[row]) for row in ("trained", PIXELS, UNTRAINED)}
    split = {part: [str(one) for one in p] if isinstance(p, list | tuple) else str(p) for part, p in given.items()}
    return Accuracy(protocol, said, labels, view.seed, split, scores, replace(rows, networks={}))
