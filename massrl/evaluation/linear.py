"""Linear probe: the logistic regression of logistic.py on frozen features, at one fixed strength of the penalty.

    x = (feature - m) * norm / r      m: mean of the training features,  r: root mean square of ||feature - m||
Features are scaled by a single scalar, which keeps their geometry. The scaled training features have root-mean-square
norm `norm` whatever their number and width, so one C suits every encoder and raw pixels. m and r use no labels and
are computed from all training features, also when the probe uses only some labels.

Version 2 differs from version 1 for two classes alone: there a was 1, so that C = 1 was scikit-learn's C = 2. Before
massrl 0.3.0 L-BFGS stopped by the gradient in W; the optimum is the same, but a few test images may be classified
differently.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data_loading.errors import ConfigError
from massrl.evaluation.logistic import fit
from massrl.evaluation.protocol import Protocol, check_pair, register, slices

log = logging.getLogger(__name__)


@register(name="linear")
@dataclass(frozen=True)
class Linear(Protocol):
    """Logistic regression on frozen features, by L-BFGS to convergence, with one fixed penalty.

    C: inverse strength of the L2 penalty.  C_one_per_class: C when every class has one label.  norm: root-mean-square
    norm of the scaled features.  tol: where L-BFGS stops, as in `logistic.path`.  max_iter: iterations of L-BFGS at
    most; a warning is logged when it has not converged.
    """

    name: ClassVar[str] = "linear"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "massrl"
    C: float = 1.0
    C_one_per_class: float = 10.0
    norm: float = 8.0
    tol: float = 1e-6
    max_iter: int = 5000

    def __post_init__(self) -> None:
        for what in ("C", "C_one_per_class", "norm", "tol", "max_iter"):
            if not getattr(self, what) > 0:  # NaN, too
                raise ConfigError(f"{what} is {getattr(self, what)}; it must be above 0")

    def strength(self, y: np.ndarray) -> float:
        """C for labels y (N,): `C_one_per_class` when no class has two labels, else `C`."""
        return self.C_one_per_class if len(np.unique(y)) == len(y) else self.C

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Test accuracy in 0..1 of a probe trained on all rows of x; arguments as in `accuracies`."""
        return float(self.accuracies(x, y, test_x, test_y, [np.arange(len(y))])[0])

    def accuracies(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, subsets: Iterable[np.ndarray]
    ) -> np.ndarray:
        """Test accuracies (S,) in 0..1 of a probe trained on each of S label subsets: rows of x, none of them twice.

        x (N, F), test_x (M, F) features; y (N,), test_y (M,) int64 labels. Raises ConfigError when they do not fit.
        """
        check_pair(x, y, test_x, test_y)
        r = root_mean_square(x)
        scale = self.norm / r if r > 0 else 1.0  # 0: collapsed
        found = []
        for chosen in subsets:
            rows = np.arange(len(y))[chosen]  # also of a mask
            some, labels = (x, y) if len(rows) == len(y) else (x[rows], y[rows])  # all of x is not copied
            found.append(self._accuracy(some, labels, test_x, test_y, scale))
        return np.array(found)

    def _accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, scale: float) -> float:
        classes = np.unique(y)
        if len(classes) == 1:
            return float((test_y == classes[0]).mean())
        # Features times s at C are the features at C s^2: a copy of them is not needed.
        found = fit(x, y, self.strength(y) * scale**2, self.tol, self.max_iter)
        if not found.converged:  # the limit of iterations, or a line search that found no smaller value
            what = "%s at C %g on %d images has not converged after %d iterations; its accuracy may differ slightly"
            log.warning(what, self.title, self.strength(y), len(y), found.iterations)
        return float((classes[found.predict(test_x)] == test_y).mean())


def root_mean_square(x: np.ndarray) -> float:
    """The root mean square of the norms of x (N, F) around its mean, in float64."""
    mean, total = x.mean(0, dtype=np.float64), 0.0
    for rows in slices(len(x)):
        total += float(np.square(x[rows] - mean).sum())
    return float(np.sqrt(total / len(x)))
