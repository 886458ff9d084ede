"""Probes: the protocols that work on features, made from the options of `massrl.linear` and `massrl.knn`.

A probe is a protocol with the layers that it reads and a function that scores label subsets, so that features are
extracted, and scaled, once for all subsets. `LINEAR` and `KNN_PROTOCOLS` are the protocols of the two commands by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data_loading.errors import ConfigError, UnknownName, near_miss
from massrl.evaluation.choice import Chosen
from massrl.evaluation.features import Features
from massrl.evaluation.heads import LinearHeads
from massrl.evaluation.knn import KNN, KNNCentred, KNNGrid
from massrl.evaluation.linear import Linear
from massrl.evaluation.logreg import LogisticRegression
from massrl.evaluation.protocol import Protocol

if TYPE_CHECKING:
    from massrl.methods.base import Method

Layers = Mapping[str, Features]  # layer -> features
Score = Callable[[Layers, Layers, Sequence[np.ndarray]], list[Chosen]]


@dataclass(frozen=True)
class Probe:
    """A protocol on features, ready to run.

    said: its parameters in words.  score: (training features, test features, label subsets as rows of the training
    images) -> an accuracy for each subset.  layers: the layers that it reads of a method; None: one, of the user's
    choice.  k: the largest number of neighbours that the user has asked for.
    """

    protocol: Protocol
    said: str
    score: Score
    layers: Callable[[Method], list[str]] | None = None
    k: int | None = None


def only(layers: Layers) -> Features:
    """The features of a row with one layer."""
    (features,) = layers.values()
    return features


def logistic(options: dict[str, Any], seed: int) -> Probe:
    """Protocol linear."""
    C = options.get("C")
    protocol = Linear() if C is None else Linear(C=C, C_one_per_class=C)

    def score(train: Layers, test: Layers, subsets: Sequence[np.ndarray]) -> list[Chosen]:
        ours, theirs = only(train), only(test)
        return [Chosen(float(one)) for one in protocol.accuracies(ours.x, ours.y, theirs.x, theirs.y, subsets)]

    said = f"C {Linear.C:g}, {Linear.C_one_per_class:g} with one label a class" if C is None else f"C {C:g}"
    return Probe(protocol, said, score)


def logistic_path(options: dict[str, Any], seed: int) -> Probe:
    """Protocol dinov2-logreg."""
    protocol = LogisticRegression(seed=seed, **_selection(options))
    return Probe(protocol, f"best of {len(protocol.C)} C", _choosing(protocol))


def heads(options: dict[str, Any], seed: int) -> Probe:
    """Protocol dinov2-linear."""
    given = {name: options[name] for name in ("iterations", "weight_decays") if name in options}
    protocol = LinearHeads(seed=seed, **given, **_selection(options))

    def score(train: Layers, test: Layers, subsets: Sequence[np.ndarray]) -> list[Chosen]:
        sets = feature_sets(list(train))
        x, test_x = ({name: features.x for name, features in part.items()} for part in (train, test))
        y, test_y = (next(iter(part.values())).y for part in (train, test))
        found = []
        for rows in subsets:
            part = x if len(rows) == len(y) else {name: values[rows] for name, values in x.items()}
            found.append(protocol.choose(part, y[rows], test_x, test_y, sets))
        return found

    decays = "" if len(protocol.weight_decays) == 1 else f" and {len(protocol.weight_decays)} weight decays"
    said = f"best head of {len(protocol.rates)} rates{decays}, {protocol.iterations} steps"
    return Probe(protocol, said, score, layers_of)


def layers_of(method: Method) -> list[str]:
    """The layers of DINOv2's feature sets: class tokens and mean patch token of a ViT, mean maps of a ResNet's stages.

    Of a network whose blocks have no known names: its output.
    """
    from massrl.evaluation.layers import prefix_tokens, stages

    backbone = method.backbone_of(method.evaluated)  # SimCLR v2's encoder has layers of the projector, too
    count = min(4, len(stages(backbone)))
    if count == 0:
        return ["backbone"]
    if prefix_tokens(backbone):
        return list(dict.fromkeys(["last1:cls", "last1:avg", f"last{count}:cls"]))
    return list(dict.fromkeys(["last1:avg", f"last{count}:avg"]))


def feature_sets(layers: Sequence[str]) -> dict[str, list[str]]:
    """Feature sets by name, of the layers of `layers_of`: for a ViT the four of DINOv2, else each layer by itself."""
    tokens = [layer for layer in layers if layer.endswith(":cls")]
    mean = [layer for layer in layers if layer == "last1:avg"]
    sets = [one for layer in tokens for one in ([layer], *([layer, avg] for avg in mean))]
    sets = sets or [[layer] for layer in layers]
    return {" + ".join(one): one for one in sets}


def neighbours(options: dict[str, Any], seed: int) -> Probe:
    """Protocol knn."""
    protocol = KNN(**options)
    tau = "" if protocol.distance == "euclidean" else f", tau {protocol.tau:g}"
    return Probe(protocol, f"k {protocol.k}{tau}, {protocol.distance}", _plain(protocol), k=options.get("k"))


def centred_neighbours(options: dict[str, Any], seed: int) -> Probe:
    """Protocol knn-centred."""
    protocol = KNNCentred(**options)
    said = f"k {protocol.k}, tau {protocol.tau:g}, centred"
    return Probe(protocol, said, _plain(protocol), k=options.get("k"))


def neighbours_grid(options: dict[str, Any], seed: int) -> Probe:
    """Protocol knn-grid."""
    grid: dict[str, Any] = {name: values(options[name]) for name in ("k", "tau", "distance") if name in options}
    protocol = KNNGrid(seed=seed, **_selection(options), **grid)
    said = f"best of {len(protocol.settings())} settings"
    return Probe(protocol, said, _choosing(protocol), k=max(grid["k"]) if "k" in grid else None)


def values(given: Any) -> tuple[Any, ...]:
    """The values of one axis of a grid: one, or several."""
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else (given,)


def _selection(options: dict[str, Any]) -> Any:
    return {"selection": options["select"]} if "select" in options else {}


def _plain(protocol: KNN) -> Score:
    def score(train: Layers, test: Layers, subsets: Sequence[np.ndarray]) -> list[Chosen]:
        ours, theirs = only(train), only(test)
        parts = (ours if len(rows) == len(ours) else ours[rows] for rows in subsets)
        return [Chosen(protocol.accuracy(part.x, part.y, theirs.x, theirs.y)) for part in parts]

    return score


def _choosing(protocol: KNNGrid | LogisticRegression) -> Score:
    def score(train: Layers, test: Layers, subsets: Sequence[np.ndarray]) -> list[Chosen]:
        ours, theirs = only(train), only(test)
        parts = (ours if len(rows) == len(ours) else ours[rows] for rows in subsets)
        return [protocol.choose(part.x, part.y, theirs.x, theirs.y) for part in parts]

    return score


Table = Mapping[str, tuple[Callable[[dict[str, Any], int], Probe], tuple[str, ...]]]
LINEAR: Table = {
    "linear": (logistic, ("C",)),
    "dinov2-logreg": (logistic_path, ("select",)),
    "dinov2-linear": (heads, ("select", "iterations", "weight_decays")),
}
KNN_PROTOCOLS: Table = {
    "knn": (neighbours, ("k", "tau", "distance")),
    "knn-centred": (centred_neighbours, ("k", "tau")),
    "knn-grid": (neighbours_grid, ("k", "tau", "distance", "select")),
}


def make(table: Table, name: str, seed: int, **given: Any) -> Probe:
    """The probe of a protocol of `LINEAR` or `KNN_PROTOCOLS` with the options that are not None.

    Raises UnknownName for a protocol that is not in the table, ConfigError for an option that it does not have.
    """
    if name not in table:
        raise UnknownName(f"no protocol {name!r} here.{near_miss(name, table)} Known: {', '.join(table)}")
    build, takes = table[name]
    options = {option: value for option, value in given.items() if value is not None}
    for option in options:
        if option not in takes:
            others = [other for other, (_, theirs) in table.items() if option in theirs]
            raise ConfigError(f"{option} is no setting of the protocol {name}; it is one of {', '.join(others)}")
    return build(options, seed)
