"""Accuracy of a checkpoint by one protocol: the functions under `massrl linear` and `massrl knn`, and their result."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError, near_miss
from massrl.evaluation import probes
from massrl.evaluation.choice import Chosen
from massrl.evaluation.flagged import Flagged, read_flagged, same_or_swapped
from massrl.evaluation.held_out import held_out
from massrl.evaluation.knn import KNN
from massrl.evaluation.labels import Data, check_labels
from massrl.evaluation.options import check_k, check_options
from massrl.evaluation.probes import Probe
from massrl.evaluation.protocol import SELECTIONS, Protocol
from massrl.evaluation.rows import PIXELS, UNTRAINED, VIEW, FeatureRows, feature_rows
from massrl.evaluation.subsets import draw, draws_of, fraction
from massrl.evaluation.table import BASELINES, aligned, difference, html_table, percent, summary
from massrl.methods import load
from massrl.methods.base import Branch
from massrl.runs.checkpoint import find
from massrl.runs.record import git, versions

if TYPE_CHECKING:
    from massrl.evaluation.classify.result import Classified
    from massrl.evaluation.classify.training import Training

CACHE = "runs/.cache"
BATCH, DRAWS = 256, 20


@dataclass(frozen=True, repr=False, eq=False)
class Accuracy:
    """The accuracy of an encoder's features by one protocol, with its baselines on the same label subsets.

    scores: row -> (draws,) accuracies in 0..1: the encoder ("trained"), "pixels", and "random", its untrained twin.
    said: the protocol's parameters in words.  labels: "one", "all" or a fraction of the training labels.
    chosen: row -> what the protocol has chosen on each subset, and what it has tried; {} for one that chooses nothing.
    warnings: sentences that must not be overlooked, for example that training and test images are the same.
    clean: with `leaks`, the flagged test images and the encoder's accuracies (draws,) without them.
    """

    protocol: Protocol
    said: str
    labels: str | float
    seed: int
    split: dict[str, str | list[str]]
    scores: dict[str, np.ndarray]
    rows: FeatureRows
    chosen: Mapping[str, Sequence[Chosen]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    clean: tuple[Flagged, np.ndarray] | None = None

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
            return {**{key: found[key] for key in ("mean", "std")}, "values": self.scores[row].tolist()}

        rows, card = self.rows, self.protocol.card()
        view = {"size": rows.size, "mean": rows.mean, "std": rows.std, "labels": self.labels}
        return {
            "accuracy": entry("trained"),
            "untrained": entry(UNTRAINED),
            "pixels": entry(PIXELS),
            "warnings": list(self.warnings),
            **self._without_flagged(),
            **card,
            "parameters": {**card["parameters"], **view},
            "checkpoint_sha256": rows.hashes["checkpoint"]["trained"],
            **{f"{part}_sha256": rows.hashes[part] for part in ("train", "test")},
            "split": self.split,
            "view": VIEW,
            "layer": self._layers,
            "branch": rows.branch,
            "seed": self.seed,
            "draws": len(self.scores["trained"]),
            **self._choices(),
            "versions": versions(),
            "git": git(),
        }

    def _without_flagged(self) -> dict[str, Any]:
        """The accuracy without the flagged test images, as JSON values."""
        if self.clean is None:
            return {}
        flagged, scores = self.clean
        found = summary(scores)
        facts = {"flagged": len(flagged.rows), "verdicts": flagged.verdicts, "leaks_sha256": flagged.sha256}
        return {"without_flagged": {**{key: found[key] for key in ("mean", "std")}, **facts}}

    def _choices(self) -> dict[str, Any]:
        """What was chosen, and by which accuracies, as JSON values."""
        if not self.chosen:
            return {}
        return {
            "chosen": {row: [dict(one.setting) for one in found] for row, found in self.chosen.items()},
            "tried": {row: [dict(one.tried) for one in found] for row, found in self.chosen.items()},
        }

    @property
    def _layers(self) -> str:
        return ", ".join(self.rows.sets["trained"])

    def cells(self) -> list[list[str]]:
        """The table: a head, then a row for the encoder and each baseline."""
        titles = {"trained": f"{self.rows.method}, trained", **BASELINES}
        head = ["", "test accuracy, %", "draws", "trained is better by"]
        rows = [[titles[r], percent(summary(s)), str(len(s)), self._gain(r)] for r, s in self.scores.items()]
        if any(len(found) == 1 for found in self.chosen.values()):  # several subsets have several: see `chosen`
            head.append("chosen")
            rows = [[*cells, self.chosen[r][0].said] for cells, r in zip(rows, self.scores, strict=True)]
        if self.clean is not None:
            flagged, scores = self.clean
            title = f"  without the {len(flagged.rows)} flagged test images"
            rows.insert(1, [title, percent(summary(scores)), str(len(scores)), *[""] * (len(head) - 3)])
        return [head, *rows]

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
            f"{len(test)} test images at {self.rows.size} px, {self._layers} of the {self.rows.branch} network"
        )

    def __repr__(self) -> str:
        return "\n".join([*(f"WARNING: {one}" for one in self.warnings), self._caption(), aligned(self.cells())])

    def _repr_html_(self) -> str:
        loud = "".join(f"<p><b>{escape(one)}</b></p>" for one in self.warnings)
        return f"{loud}<p>{escape(self._caption())}</p>{html_table(self.cells())}"


@overload
def linear(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    protocol: Literal["linear", "dinov2-linear", "dinov2-logreg"] = "linear",
    C: float | None = None,
    select: str | None = None,
    iterations: int | None = None,
    weight_decays: Sequence[float] | None = None,
    labels: str | float = "all",
    draws: int = 20,
    layer: str | None = None,
    branch: Branch | None = None,
    leaks: str | os.PathLike | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Accuracy: ...
@overload
def linear(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    protocol: str | Training,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
    untrained: bool = False,
    trainer: Mapping[str, Any] | None = None,
    **changed: Any,
) -> Accuracy | Classified: ...
def linear(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    protocol: str | Training = "linear",
    C: float | None = None,
    select: str | None = None,
    iterations: int | None = None,
    weight_decays: Sequence[float] | None = None,
    labels: str | float = "all",
    draws: int = DRAWS,
    layer: str | None = None,
    branch: Branch | None = None,
    leaks: str | os.PathLike | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
    untrained: bool = False,
    trainer: Mapping[str, Any] | None = None,
    **changed: Any,
) -> Accuracy | Classified:
    """Accuracy of a linear classifier on an encoder's frozen features, as `massrl linear`.

    The first three protocols are probes: they work on cached features of images without augmentation. All others train
    a head by gradient descent on augmented views, as the papers that they are named after; they return a Classified.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        protocol: "linear" (one penalty), "dinov2-linear" (rates and feature sets), "dinov2-logreg" (45 penalties); or
            moco, simclr, byol, mocov3, mae, solo, massrl, vicreg, swav or dino (`massrl list protocols`).
        C: of linear: inverse strength of the penalty; 1 unless said, 10 with one label a class.
        select: of the others: "held-out", a tenth of the training images, or "test", which is optimistic.
        iterations: of dinov2-linear: steps of SGD; 12,500 unless said.
        weight_decays: of dinov2-linear: several to choose from, each with each rate; none unless said.
        labels: training labels that are used: "one" (of each class), "10pct", "all", or a fraction.
        draws: how many random label subsets; one where all labels are used.
        layer: where features are taken, a name of `massrl.evaluation.layers`; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        leaks: of a probe: the JSON of `massrl data check TRAIN --against TEST`: also the accuracy without the flagged
            images.
        size: side of the view in pixels; that of the pretraining unless said.
        seed: of the untrained weights, the label subsets and the held-out images.
        batch_size: images at once, 256 unless said, which changes the time only; of a trained head the images of a
            step, of all processes together.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.
        untrained: of a trained head: train one on the untrained network, too.
        trainer: of a trained head: arguments of Lightning's Trainer: devices, accelerator, precision, strategy, ...
        changed: of a trained head: settings in place of the protocol's: epochs, base_lr, weight_decay, views, ...

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    own: dict[str, Any] = {"C": C, "select": select, "iterations": iterations, "weight_decays": weight_decays}
    if not isinstance(protocol, str) or protocol not in probes.LINEAR:
        own |= {"layer": layer, "leaks": leaks}
        subsets = {"labels": None if labels == "all" else labels, "draws": None if draws == DRAWS else draws}
        _refuse_probes_own({**own, **subsets})
        from massrl.evaluation.classify.linear import linear_by
        from massrl.evaluation.classify.running import Given

        given = Given(checkpoint, train, test, branch, size, seed, num_workers, cache_dir, trainer)
        return linear_by(protocol, given, untrained, {**changed, "batch_size": batch_size})
    _refuse_trainings_own({"untrained": untrained, "trainer": trainer, **changed}, protocol)
    check_options(draws=draws, iterations=iterations, seed=seed)
    fraction(labels)  # a wrong one is refused before the work
    probe = probes.make(probes.LINEAR, protocol, seed, **own)
    view = _View(layer, branch, size, seed, BATCH if batch_size is None else batch_size, num_workers, cache_dir)
    return _measured(checkpoint, train, test, probe, labels, draws_of(labels, draws), view, leaks)


def _refuse_probes_own(given: Mapping[str, Any]) -> None:
    """Refuse arguments of the probes with a protocol that trains a head."""
    for name, value in given.items():
        if value is not None:
            raise ConfigError(f"{name} is of the protocols {', '.join(probes.LINEAR)}; leave it out with another one")


def _refuse_trainings_own(given: Mapping[str, Any], protocol: str) -> None:
    """Refuse arguments of a training with a protocol that is a probe, and those of neither."""
    from massrl.evaluation.classify.training import Training

    known = {"untrained", "trainer", *(field.name for field in fields(Training))}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(f"linear has no argument {name!r}.{near_miss(name, known)}")
        if value:
            raise ConfigError(f"{name} is of protocols that train a head, as moco; {protocol} takes none")


def knn(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    protocol: str | None = None,
    k: int | Sequence[int] | None = None,
    tau: float | Sequence[float] | None = None,
    distance: str | Sequence[str] | None = None,
    select: str | None = None,
    layer: str | None = None,
    branch: Branch | None = None,
    leaks: str | os.PathLike | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Accuracy:
    """Accuracy of nearest neighbours in an encoder's features, as `massrl knn`.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        protocol: "knn", "knn-centred" (knn v1) or "knn-grid"; knn unless said, with several values a grid of these.
        k: neighbours that vote, one number or several; 20 unless said.
        tau: temperature of the votes, exp(cosine / tau), one or several: the smaller, the more nearer ones count.
        distance: "cosine", "euclidean" or both; cosine unless said.
        select: of knn-grid: "held-out", a tenth of the training images, or "test", which is optimistic.
        layer: where features are taken, a name of `massrl.evaluation.layers`; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        leaks: the JSON of `massrl data check TRAIN --against TEST`: also the accuracy without the flagged images.
        size: side of the view in pixels; that of the pretraining unless said.
        seed: of the untrained weights and the held-out images.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    check_options(seed=seed)
    for one in probes.values(k):
        check_options(k=one)
    several = any(len(probes.values(one)) > 1 for one in (k, tau, distance))
    if several and protocol is None:  # a grid of these values alone, as k 10, 20, 100, 200 with tau 0.07
        protocol = "knn-grid"
        k, tau = KNN.k if k is None else k, KNN.tau if tau is None else tau
        distance = KNN.distance if distance is None else distance
    name = protocol or "knn"
    probe = probes.make(probes.KNN_PROTOCOLS, name, seed, k=k, tau=tau, distance=distance, select=select)
    view = _View(layer, branch, size, seed, batch_size, num_workers, cache_dir)
    return _measured(checkpoint, train, test, probe, "all", 1, view, leaks)


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
    probe: Probe,
    labels: str | float,
    draws: int,
    view: _View,
    leaks: str | os.PathLike | None,
) -> Accuracy:
    """Score the encoder, raw pixels and the untrained network by a probe, on the same label subsets."""
    options = view._asdict()
    layer, branch = options.pop("layer"), options.pop("branch")
    check_options(**options, leaks=leaks)
    flagged = None if leaks is None else read_flagged(leaks)
    layers = None if layer is None else [layer]
    if probe.layers is not None:
        if layer is not None:
            raise ConfigError(f"layer is {layer!r}; {probe.protocol.name} reads layers of its own, so leave it out")
        layers = probe.layers(load(find(checkpoint)))
    given = {"train": train, "test": test}
    subsets: list[np.ndarray] = []

    def check(y: dict[str, np.ndarray], readers: dict[str, Reader], names: list[str] | None) -> None:
        check_labels(y, given, names)
        check_k(probe.k, len(y["train"]))
        if flagged is not None:
            flagged.check({part: reader.sha256() for part, reader in readers.items()})
        subsets.extend(draw(y["train"], labels, view.seed, number) for number in range(draws))
        if probe.protocol.selection == "held-out":
            held_out(y["train"][subsets[0]])  # refused where no class has two

    rows = feature_rows({"trained": checkpoint}, train, test, check=check, layers=layers, branch=branch, **options)
    found: dict[str, list[Chosen]] = {}
    for row in ("trained", PIXELS, UNTRAINED):
        train_sets, test_sets = ({name: pair[part] for name, pair in rows.sets[row].items()} for part in (0, 1))
        found[row] = probe.score(train_sets, test_sets, subsets)
    scores = {row: np.array([one.accuracy for one in of_row]) for row, of_row in found.items()}
    chosen = found if probe.protocol.selection != "fixed" else {}
    split = {part: [str(one) for one in p] if isinstance(p, list | tuple) else str(p) for part, p in given.items()}
    kept = replace(rows, networks={})
    warnings = same_or_swapped(train, test, rows.hashes)
    clean = None if flagged is None else (flagged, _clean(probe, rows, flagged, subsets))
    return Accuracy(probe.protocol, probe.said, labels, view.seed, split, scores, kept, chosen, warnings, clean)


def _clean(probe: Probe, rows: FeatureRows, flagged: Flagged, subsets: list[np.ndarray]) -> np.ndarray:
    """Accuracies (draws,) of the encoder on the test images that are not flagged."""
    train = {name: pair[0] for name, pair in rows.sets["trained"].items()}
    test = {name: flagged.kept(pair[1]) for name, pair in rows.sets["trained"].items()}
    if not all(map(len, test.values())):
        raise ConfigError(f"leaks: {flagged.path} flags every test image, so there are none to measure on")
    return np.array([one.accuracy for one in probe.score(train, test, subsets)])
