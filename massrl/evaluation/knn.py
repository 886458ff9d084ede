"""kNN accuracy: classify a test image by its nearest training images, weighted by similarity.

Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978, sec. 3.4; as in
DINO's `eval_knn.py` (arXiv:2104.14294), with k = 20 and tau = 0.07:
    score(c) = sum over the k nearest i with label c of exp(s_i / tau)       s = cosine of the raw features
    score(c) = sum over the k nearest i with label c of 1 / (d_i + 1e-5)     d = Euclidean distance, as in solo-learn
Differs from them: nothing known, but that neighbours are exact in float64. Equal scores: the lower class; equally near
neighbours: the one that comes first in the training data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import torch

from data_loading.errors import ConfigError
from massrl.evaluation.choice import Chosen, best, words
from massrl.evaluation.held_out import held_out
from massrl.evaluation.neighbours import DISTANCES, nearest
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register

NEAR = 1e-5  # added to a distance before it divides
Setting = tuple[str, int, float | None]  # distance, k, tau


def _check(k: Any, tau: float | None, distance: str) -> None:
    """Refuse values without sense, in one line."""
    if isinstance(k, bool) or not isinstance(k, Integral) or k < 1:
        raise ConfigError(f"k is {k}; it must be an integer, at least 1")
    if tau is not None and not 0 < tau < float("inf"):
        raise ConfigError(f"tau is {tau}; it must be a number above 0")
    if distance not in DISTANCES:
        raise ConfigError(f"no distance {distance!r}; it is one of {', '.join(DISTANCES)}")


@register(name="knn")
@dataclass(frozen=True)
class KNN(Protocol):
    """The class that the k nearest training images vote for, by the cosine of raw features, as DINO.

    k: number of neighbours; all training images vote where there are fewer.  tau: temperature of the weights
    exp(s / tau).  distance: "cosine", or "euclidean" with weights 1 / (d + 1e-5), which have no tau.
    """

    name: ClassVar[str] = "knn"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "DINO eval_knn.py (arXiv:2104.14294); Wu et al. (arXiv:1805.01978), sec. 3.4"
    k: int = 20
    tau: float = 0.07
    distance: str = "cosine"

    def __post_init__(self) -> None:
        _check(self.k, self.tau, self.distance)

    def parameters(self) -> dict[str, Any]:
        euclidean = self.distance == "euclidean"
        return {"k": self.k, **({} if euclidean else {"tau": self.tau}), "distance": self.distance}

    def predict(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
        """Predicted labels (M,) int64 of test_x (M, F) float32, from training features x (N, F) with labels y (N,)."""
        setting = (self.distance, self.k, None if self.distance == "euclidean" else self.tau)
        return np.concatenate([found for _, found in predictions(x, y, test_x, [setting])])

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Share of the test samples that are classified correctly, in 0..1.

        x (N, F), test_x (M, F) float32 features; y (N,), test_y (M,) int64 labels. Raises ConfigError when they do not
        fit. x may be a memory-mapped array.
        """
        check_pair(x, y, test_x, test_y)
        return float((self.predict(x, y, test_x) == test_y).mean())


@register(name="knn-centred")
@dataclass(frozen=True)
class KNNCentred(KNN):
    """The protocol "knn v1" of massrl 0.2: as knn, of features less their training mean.

    On features that are never negative its accuracy differs from that of the published protocols by some points, so it
    is for comparisons with accuracies of massrl 0.2.
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "massrl 0.2: as DINO eval_knn.py, with features less their training mean"

    def parameters(self) -> dict[str, Any]:
        return {"k": self.k, "tau": self.tau}

    def predict(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray) -> np.ndarray:
        mean = x.mean(0, dtype=np.float64).astype(np.float32)
        return super().predict(x - mean, y, test_x - mean)


@register(name="knn-grid")
@dataclass(frozen=True)
class KNNGrid(Protocol):
    """kNN with k, tau and the distance chosen from a grid; the neighbours are searched once for all.

    k, tau, distance: the values of the grid.  selection: "held-out": the setting that classifies a tenth of the
    training images best, from the others; the test images are then classified once, from all training images.
    "test": the best on the test images, as tables of k = 10, 20, 100, 200 are read: optimistic.  seed: of the held-out
    part.
    """

    name: ClassVar[str] = "knn-grid"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "k of DINO eval_knn.py, k x T x distance of solo-learn's main_knn.py"
    selection: Selection = "held-out"  # type: ignore[misc]  # a field, where other protocols have one for all
    k: Sequence[int] = (1, 2, 5, 10, 20, 50, 100, 200)
    tau: Sequence[float] = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
    distance: Sequence[str] = field(default=DISTANCES)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("k", "tau", "distance"):
            if not getattr(self, name):
                raise ConfigError(f"the grid has no {name}; give at least one")
        for distance, k, tau in self.settings():
            _check(k, tau, distance)
        if self.selection not in ("held-out", "test"):
            raise ConfigError(f"selection is {self.selection!r}; a grid chooses on held-out or test")

    def settings(self) -> list[Setting]:
        """(distance, k, tau) of the grid, tau None for Euclidean distances, by rising k."""
        ks, taus = sorted(set(self.k)), sorted(set(self.tau))
        return [(d, k, tau) for d in self.distance for tau in (taus if d == "cosine" else [None]) for k in ks]

    def scores(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> dict[Setting, float]:
        """Accuracy in 0..1 of every setting of the grid, of one search for neighbours; arguments as `KNN.accuracy`."""
        check_pair(x, y, test_x, test_y)
        right: dict[Setting, int] = dict.fromkeys(self.settings(), 0)
        at = dict.fromkeys(right, 0)
        for setting, found in predictions(x, y, test_x, list(right)):
            right[setting] += int((found == test_y[at[setting] : at[setting] + len(found)]).sum())
            at[setting] += len(found)
        return {setting: count / len(test_y) for setting, count in right.items()}

    def choose(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> Chosen:
        """The chosen setting and its test accuracy. Of equally good settings: the first of `settings()`."""
        check_pair(x, y, test_x, test_y)
        if self.selection == "test":
            scores = self.scores(x, y, test_x, test_y)
        else:
            kept, held = held_out(y, seed=self.seed)
            scores = self.scores(x[kept], y[kept], x[held], y[held])
        setting = list(scores)[best(np.array(list(scores.values())))]
        named = _named(setting)
        tried = {words(_named(one)): score for one, score in scores.items()}
        if self.selection == "test":
            return Chosen(scores[setting], named, tried)
        distance, k, tau = setting
        protocol = KNN(k, KNN.tau if tau is None else tau, distance)
        return Chosen(protocol.accuracy(x, y, test_x, test_y), named, tried)

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Test accuracy in 0..1 of the chosen setting."""
        return self.choose(x, y, test_x, test_y).accuracy


def _named(setting: Setting) -> dict[str, Any]:
    distance, k, tau = setting
    return {"k": k, **({} if tau is None else {"tau": tau}), "distance": distance}


def predictions(
    x: np.ndarray, y: np.ndarray, test_x: np.ndarray, settings: Sequence[Setting]
) -> Iterator[tuple[Setting, np.ndarray]]:
    """Yield (setting, predicted labels (m,) int64) for blocks of test_x (M, F) in order, for every setting in turn.

    x (N, F) float32 features with labels y (N,). One search a distance, for the largest k.
    """
    classes, codes = np.unique(y, return_inverse=True)
    for distance in dict.fromkeys(d for d, _, _ in settings):
        of_distance = [setting for setting in settings if setting[0] == distance]
        for similarity, rows in nearest(x, test_x, max(k for _, k, _ in of_distance), distance):
            votes = torch.from_numpy(codes[rows])
            for tau in dict.fromkeys(tau for _, _, tau in of_distance):
                weight = torch.from_numpy(_weights(similarity, tau))
                score, counted = torch.zeros(len(rows), len(classes), dtype=weight.dtype), 0  # (m, C)
                for setting in sorted((s for s in of_distance if s[2] == tau), key=lambda s: s[1]):
                    new = slice(counted, counted := setting[1])
                    score.scatter_add_(1, votes[:, new], weight[:, new])
                    yield setting, classes[score.argmax(1).numpy()]


def _weights(similarity: np.ndarray, tau: float | None) -> np.ndarray:
    """Weights (m, k) of neighbours, nearest first: exp(cosine / tau), or 1 / (distance + NEAR) where tau is None."""
    if tau is None:
        return 1 / (NEAR - similarity)
    # less the largest similarity: exp() cannot overflow for small tau, and the winner is unchanged
    return np.exp((similarity - similarity[:, :1]) / tau)
