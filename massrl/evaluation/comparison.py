"""Comparison: trainings beside each other, with paired differences over their seeds and over label subsets.

Runs whose settings differ in seeds alone are trainings of one *variant*. Every run is evaluated on the same label
subsets of the same images. A difference of two variants is paired by label subset, and by training seed where both
have the same seeds. Its interval is Student's over the trainings, each averaged over the subsets; Welch's where both
have several trainings, but not of the same seeds; and over the label subsets where one has a single training, which
says nothing about other trainings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from massrl.evaluation.flagged import same_or_swapped
from massrl.evaluation.knn import KNN
from massrl.evaluation.labels import Data, check_labels
from massrl.evaluation.linear import Linear
from massrl.evaluation.options import check_k, check_options
from massrl.evaluation.protocol import Protocol
from massrl.evaluation.rows import PIXELS, UNTRAINED, FeatureRows, feature_rows
from massrl.evaluation.table import (
    BASELINES,
    HEADINGS,
    aligned,
    check_same_images,
    difference,
    html_table,
    percent,
    scores_of,
    summary,
    unpaired,
)
from massrl.methods import load
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.checkpoint_files import LAST
from massrl.runs.folder import METRICS, read_json
from massrl.runs.record import git, versions

CACHE = "runs/.cache"
SEEDS = ("seed_everything", "data.seed")
# Settings of one start or one machine, in which trainings of one variant may differ.
PLACES = (
    "run",
    "ckpt_path",
    "minutes",
    "report",
    "export",
    "data.cache_dir",
    "data.num_workers",
    "trainer.default_root_dir",
)


@dataclass(frozen=True)
class Training:
    """One run: its folder or file, its seed, all its settings by dotted name, and what it cost."""

    path: Path
    method: str
    seed: int | None
    settings: dict[str, Any]
    epochs: int
    steps: int
    seconds: float | None  # of the pretraining; None where no run folder says
    branch: str  # the network that is evaluated, online or target
    row: str = ""  # its row in the features of a comparison


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """Accuracies of variants, and of the baselines "pixels" and "random", on the same label subsets.

    variants: name -> its trainings.  scores: measure -> row -> (trainings, subsets) accuracies in 0..1.
    predicted: variant -> (M,) labels that kNN gives the test images, by the first training.
    """

    variants: dict[str, list[Training]]
    scores: dict[str, dict[str, np.ndarray]]
    predicted: dict[str, np.ndarray]
    protocols: tuple[Protocol, ...]
    rows: FeatureRows
    split: dict[str, Any]
    seed: int
    warnings: Sequence[str] = ()  # what must not be overlooked, as that training and test images are the same

    def differing(self) -> dict[str, dict[str, Any]]:
        """Settings in which variants differ: name -> variant -> value."""
        of = {name: trainings[0].settings for name, trainings in self.variants.items()}
        keys = sorted({key for settings in of.values() for key in settings if key not in (*SEEDS, *PLACES)})
        found = {key: {name: settings.get(key) for name, settings in of.items()} for key in keys}
        return {key: values for key, values in found.items() if len({json.dumps(v) for v in values.values()}) > 1}

    def difference(self, measure: str, a: str, b: str) -> dict[str, Any]:
        """Accuracy of row a less that of row b: {"mean", "std", "low", "high", "over", "won", "draws"}, in 0..1.

        over: what the 95 % interval covers: "trainings", "unpaired trainings" (of other seeds) or "label subsets"; None
        for a single number, which has none.
        """
        x, y = (self.scores[measure][row] for row in (a, b))
        pairs = self._pairs(a, b)
        if len(pairs) > 1 and len(pairs) == max(len(x), len(y)):
            gain, over = difference(x[[i for i, _ in pairs]].mean(1), y[[j for _, j in pairs]].mean(1)), "trainings"
        elif min(len(x), len(y)) > 1:
            gain, over = unpaired(x.mean(1), y.mean(1)), "unpaired trainings"
        else:
            gain, over = difference(x.mean(0), y.mean(0)), "label subsets"
        return {**gain, "over": over if gain["std"] is not None else None}

    def _pairs(self, a: str, b: str) -> list[tuple[int, int]]:
        """Trainings of rows a and b that are compared: those of equal seeds; a baseline is one training for all."""
        if b in BASELINES or a in BASELINES:
            own, other = len(self.scores["knn"][a]), len(self.scores["knn"][b])
            return [(i if own > 1 else 0, i if other > 1 else 0) for i in range(max(own, other))]
        seeds = [training.seed for training in self.variants[b]]
        return [(i, seeds.index(one.seed)) for i, one in enumerate(self.variants[a]) if one.seed in seeds]

    def pairs(self) -> list[tuple[str, str]]:
        """Rows whose differences are told: each variant less each baseline, and less each later variant."""
        names = list(self.variants)
        return [(name, base) for name in names for base in BASELINES] + list(combinations(names, 2))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: accuracies, differences, settings, cost, and all that they depend on."""
        rows = self.rows
        trainings = {
            name: [
                {
                    **{key: getattr(t, key) for key in ("seed", "epochs", "steps", "seconds", "branch")},
                    "path": str(t.path),
                }
                for t in of
            ]
            for name, of in self.variants.items()
        }
        return {
            "accuracies": {m: {row: _entry(x) for row, x in of.items()} for m, of in self.scores.items()},
            "differences": {
                m: [{"of": a, "over": b, **self.difference(m, a, b)} for a, b in self.pairs()] for m in self.scores
            },
            "trainings": trainings,
            "differing_settings": self.differing(),
            "protocols": [protocol.card() for protocol in self.protocols],
            "checkpoint_sha256": rows.hashes["checkpoint"],
            "train_sha256": rows.hashes["train"],
            "test_sha256": rows.hashes["test"],
            "split": self.split,
            "warnings": list(self.warnings),
            "seed": self.seed,
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table of accuracies in per cent: a head, then a row for each variant and baseline."""
        titles = {**{name: f"{name} ({_seeds(of)})" for name, of in self.variants.items()}, **BASELINES}
        lines = [["test accuracy, %", *(HEADINGS[m] for m in self.scores)]]
        for row in next(iter(self.scores.values())):
            lines.append([titles[row], *(percent(_entry(self.scores[m][row])) for m in self.scores)])
        return lines

    def difference_cells(self) -> list[list[str]]:
        """The table of differences in points: a head, then a row for each pair and measure."""
        lines = [["difference", "measure", "points", "95 % interval", "over"]]
        for a, b in self.pairs():
            for measure in self.scores:
                gain = self.difference(measure, a, b)
                interval = f"{100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}" if gain["over"] else ""
                over = f"{gain['draws']} {gain['over']}" if gain["over"] else ""
                words = f"{a} over {BASELINES.get(b, b)}"
                lines.append([words, HEADINGS[measure], f"{100 * gain['mean']:+.1f}", interval, over])
        return lines

    def setting_cells(self) -> list[list[str]]:
        """The table of settings in which the variants differ."""
        return [
            ["setting", *self.variants],
            *([key, *(_short(values[name]) for name in self.variants)] for key, values in self.differing().items()),
        ]

    def __repr__(self) -> str:
        loud = [f"WARNING: {one}" for one in self.warnings]
        first = next(iter(self.variants))
        note = f"untrained network: that of {first}'s first run, with random weights"
        parts = [f"{aligned(self.cells())}\n{note}", aligned(self.difference_cells())]
        settings = self.setting_cells()
        return "\n\n".join([*loud, *parts, *([aligned(settings)] if len(settings) > 1 else [])])

    def _repr_html_(self) -> str:
        loud = "".join(f"<p><b>{escape(one)}</b></p>" for one in self.warnings)
        return loud + "".join(
            html_table(cells) for cells in (self.cells(), self.difference_cells(), self.setting_cells())
        )


def _entry(x: np.ndarray) -> dict[str, Any]:
    """Mean and deviation of (trainings, subsets): over trainings where there are several, else over subsets."""
    return summary(x.mean(1)) if len(x) > 1 else summary(x[0])


def _seeds(trainings: Sequence[Training]) -> str:
    seeds = ", ".join("unknown" if training.seed is None else str(training.seed) for training in trainings)
    said = f"seed {seeds}" if len(trainings) == 1 else f"{len(trainings)} trainings, seeds {seeds}"
    return said if trainings[0].branch == "online" else f"{said}; {trainings[0].branch} network"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def compare(
    runs: Sequence[str | os.PathLike],
    train: Data,
    test: Data,
    *,
    draws: int = 20,
    k: int = KNN.k,
    tau: float = KNN.tau,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Comparison:
    """Runs beside each other: accuracies, paired differences with intervals, settings that differ, as `massrl compare`.

    Examples:
        >>> massrl.compare(["runs/simclr-0", "runs/simclr-1", "runs/byol-0", "runs/byol-1"], "train/", "test/")

    Args:
        runs: run folders, `Run`s or checkpoint files; those that differ in seeds alone count as one variant.
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        draws: random label subsets for the linear probe with few labels; the same for every run.
        k, tau: of the kNN protocol.
        size: side of the view in pixels; that of each pretraining unless said.
        seed: of the untrained weights and the label subsets.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a run, file or argument that does not fit, in one line.
    """
    check_options(draws=draws, k=k, size=size, seed=seed, batch_size=batch_size, num_workers=num_workers)
    check_options(cache_dir=cache_dir)
    trainings = [replace(read(run), row=f"run {i}") for i, run in enumerate(runs)]
    paths = [training.path for training in trainings]
    if not paths or len(set(paths)) < len(paths):
        raise ConfigError(f"runs are {', '.join(map(str, paths)) or 'none'}; name one or more, and each once")
    names = {training.row: training.path for training in trainings}
    options: dict[str, Any] = {"size": size, "seed": seed, "batch_size": batch_size, "num_workers": num_workers}

    def check(y: dict[str, np.ndarray], readers: dict[str, Reader], names: list[str] | None) -> None:
        check_labels(y, {"train": train, "test": test}, names)
        check_k(k, len(y["train"]))

    rows = feature_rows(names, train, test, check=check, cache_dir=cache_dir, **options)
    check_same_images(rows.features)
    knn, linear = KNN(k=k, tau=tau), Linear()
    of_row = {row: scores_of(*pair, knn, linear, draws, seed) for row, pair in rows.features.items()}
    variants = _variants(trainings)
    members = {name: [training.row for training in of] for name, of in variants.items()}
    members |= {base: [base] for base in (PIXELS, UNTRAINED)}
    scores = {m: {name: np.stack([of_row[r][m] for r in of]) for name, of in members.items()} for m in HEADINGS}
    predicted = {}
    for name in variants:
        ours, theirs = rows.features[members[name][0]]
        predicted[name] = knn.predict(ours.x, ours.y, theirs.x)
    split = {"train": _plain(train), "test": _plain(test)}
    warnings = same_or_swapped(train, test, rows.hashes)
    return Comparison(variants, scores, predicted, (linear, knn), rows, split, seed, warnings)


def read(run: str | os.PathLike) -> Training:
    """The training behind a run folder or a checkpoint file."""
    path = find(run)
    checkpoint = Checkpoint.read(path)
    kept = checkpoint.content.get("massrl") or {}
    data = {key: kept.get(key) for key in ("size", "view_set")}
    without = {"model": {"class_path": checkpoint.method, "init_args": checkpoint.init_args}, "data": data}
    settings = flat(kept.get("config") or without)  # those of the zoo, and of a Trainer of one's own, have none
    seconds = (read_json(path.parent.parent / METRICS).get("seconds") or {}).get("pretrain")
    seed = settings.get("seed_everything", settings.get("data.seed"))
    branch = load(path).evaluated
    return Training(path, checkpoint.method, seed, settings, checkpoint.epochs, checkpoint.steps, seconds, branch)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names; an empty mapping is left out."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _variants(trainings: Sequence[Training]) -> dict[str, list[Training]]:
    """Trainings by variant, named by method, and by the first run's folder where two variants have one method."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        own = {key: v for key, v in training.settings.items() if key not in (*SEEDS, *PLACES)}
        same = json.dumps([training.method, training.epochs, own], sort_keys=True, default=str)
        groups.setdefault(same, []).append(training)
    methods = [of[0].method for of in groups.values()]
    found: dict[str, list[Training]] = {}
    for of in groups.values():
        name = of[0].method if methods.count(of[0].method) == 1 else f"{of[0].method}, {_place(of[0].path)}"
        while name in found:
            name += "'"
        found[name] = of
    for name, of in found.items():
        seeds = [training.seed for training in of if training.seed is not None]  # None: the file does not say
        if len(set(seeds)) < len(seeds):
            raise ConfigError(
                f"two runs of {name} have the seed {seeds[0]}, so they are one training; name one of them"
            )
    return found


def _place(path: Path) -> str:
    """The run folder of a checkpoint, or the name of a file that is in none."""
    return path.parent.parent.name if path.parent.name == LAST.parent.name else path.stem


def _plain(data: Data) -> str | list[str]:
    return str(data) if isinstance(data, str | os.PathLike) else [str(one) for one in data]
