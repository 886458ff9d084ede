"""Logistic regression over many strengths of the penalty: DINOv2's protocol, with its sweep as one path of fits.

Oquab et al., "DINOv2", arXiv:2304.07193, and its `dinov2/eval/log_regression.py`: multinomial logistic regression with
an L2 penalty on raw features in float64, for 45 values C = 10^-6 ... 10^5; C is chosen on a tenth of the training
images, then the regression is fitted again to all of them.
    minimise over W, b:   C * sum_i -log softmax(W x_i + b)[y_i]  +  1/2 ||W||^2        (two classes: as in linear.py)
The fits of a sweep share their work. Features are rotated once to their principal axes z, with variances e_j, and
L-BFGS runs in u_j = w_j sqrt(h e_j + 1/(C n)), in which the curvature is about the same in all directions; h is the
mean curvature of the loss at the start. Each fit starts where that of the next smaller C has ended.
Differs from the code: held-out images are sampled within classes; L-BFGS stops at a gradient of 1e-5 in u, which leaves
probabilities within about 1e-4 of the optimum's, in place of cuML's tol 1e-12.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from data_loading.errors import ConfigError
from massrl.evaluation.choice import Chosen, best
from massrl.evaluation.held_out import held_out
from massrl.evaluation.linear import SMALL
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register

log = logging.getLogger(__name__)
STRENGTHS = tuple(float(f"{10**power:.6g}") for power in np.linspace(-6, 5, 45))


class Fit(NamedTuple):
    """weight (K, F) and bias (K,) float64 at the strength C; iterations of L-BFGS, and whether it has converged."""

    C: float
    weight: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Index of the class (M,) of x (M, F)."""
        return (x @ self.weight.T + self.bias).argmax(1)


def path(x: np.ndarray, y: np.ndarray, C: Sequence[float], tol: float = 1e-5, max_iter: int = 1000) -> Iterator[Fit]:
    """Fit the regression for every C, from the smallest on, each from the one before.

    x (N, F), converted to float64; y (N,), two or more distinct labels, in ascending order those of the rows of W.
    tol: L-BFGS stops when no entry of the gradient of the mean loss in u exceeds it.  max_iter: for each C.
    """
    classes, codes = np.unique(y, return_inverse=True)
    problem = _Problem(np.asarray(x, np.float64), codes, len(classes))
    limit = 1 if problem.z.size * len(classes) < SMALL else None  # small products are faster on one thread
    with threadpool_limits(limit, "blas"):
        weight, bias = np.zeros((len(classes), problem.z.shape[1])), np.zeros(len(classes))
        for strength in sorted(C):
            weight, bias, iterations, converged = problem.fit(strength, weight, bias, tol, max_iter)
            yield problem.original(strength, weight, bias, iterations, converged)


def check_path(C: Sequence[float], tol: float, max_iter: int) -> None:
    """Raise ConfigError for settings with which `path` cannot work."""
    if not C or not all(0 < one < float("inf") for one in C):
        raise ConfigError(f"C is {', '.join(f'{one:g}' for one in C) or 'empty'}; give numbers above 0")
    if not tol > 0 or max_iter < 1:
        raise ConfigError(f"tol is {tol}, max_iter {max_iter}; tol must be above 0, max_iter 1 or more")


class _Problem:
    """The regression on the principal axes of x: z = (x - mean) @ axes, with mean squares `variance`."""

    def __init__(self, x: np.ndarray, codes: np.ndarray, classes: int):
        self.codes, self.classes, self.rows = codes, classes, np.arange(len(x))
        self.mean = x.mean(0)
        centred = x - self.mean
        if len(x) < x.shape[1]:  # the weights lie in the span of the samples: N axes are enough
            self.axes = np.linalg.qr(centred.T)[0]
            centred = centred @ self.axes
            turn = np.linalg.eigh(centred.T @ centred)[1]
            self.axes, self.z = self.axes @ turn, centred @ turn
        else:
            self.axes = np.linalg.eigh(centred.T @ centred)[1]
            self.z = centred @ self.axes
        self.variance = np.square(self.z).mean(0)

    def fit(
        self, C: float, weight: np.ndarray, bias: np.ndarray, tol: float, max_iter: int
    ) -> tuple[np.ndarray, np.ndarray, int, bool]:
        """(weight, bias, iterations, converged) at the strength C, from those of another; weight (K, axes)."""
        n, size = len(self.z), weight.size
        decay = (2 if self.classes == 2 else 1) / (C * n)
        p = softmax(self.z @ weight.T + bias, axis=1)
        curvature = np.mean(p * (1 - p))
        scale = np.sqrt(curvature * self.variance + decay)  # u = w * scale
        of_bias = np.sqrt(curvature + 1e-12)

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w, b = flat[:size].reshape(weight.shape) / scale, flat[size:] / of_bias
            logits = self.z @ w.T + b  # (N, K)
            value = -log_softmax(logits, axis=1)[self.rows, self.codes].mean() + decay / 2 * np.sum(w**2)
            error = softmax(logits, axis=1)
            error[self.rows, self.codes] -= 1
            error /= n
            gradient = (error.T @ self.z + decay * w) / scale
            return value, np.concatenate([gradient.ravel(), error.sum(0) / of_bias])

        options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 0.0, "maxcor": 20, "maxls": 50}
        start = np.concatenate([(weight * scale).ravel(), bias * of_bias])
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        weight, bias = found.x[:size].reshape(weight.shape) / scale, found.x[size:] / of_bias
        return weight, bias, found.nit, bool(found.success)

    def original(self, C: float, weight: np.ndarray, bias: np.ndarray, iterations: int, converged: bool) -> Fit:
        """The same classifier of x in place of z."""
        turned = weight @ self.axes.T
        return Fit(C, turned, bias - turned @ self.mean, iterations, converged)


@register(name="dinov2-logreg")
@dataclass(frozen=True)
class LogisticRegression(Protocol):
    """Logistic regression on raw features, with C chosen from 45 on a held-out tenth of the training images.

    selection: "held-out"; "test" chooses C on the test images, as `--finetune-on-val` of the authors: optimistic.
    C: the strengths to choose from.  tol, max_iter: of L-BFGS at each C.  seed: of the held-out part.
    """

    name: ClassVar[str] = "dinov2-logreg"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DINOv2 eval/log_regression.py (arXiv:2304.07193)"
    selection: Selection = "held-out"  # type: ignore[misc]  # a field, where other protocols have one for all
    C: Sequence[float] = STRENGTHS
    tol: float = 1e-5
    max_iter: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        check_path(self.C, self.tol, self.max_iter)
        if self.selection not in ("held-out", "test"):
            raise ConfigError(f"selection is {self.selection!r}; {self.name} chooses on held-out or test")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "C": list(self.C)}

    def choose(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> Chosen:
        """The chosen C and its test accuracy; of equally good ones the smallest, the strongest penalty.

        x (N, F), test_x (M, F) features; y (N,), test_y (M,) int64 labels. Raises ConfigError when they do not fit, or
        when no class has two images.
        """
        check_pair(x, y, test_x, test_y)
        if len(np.unique(y)) == 1:
            raise ConfigError(f"all {len(y)} training images are of one class; a classifier needs two or more")
        if self.selection == "test":
            scores = self._scores(x, y, test_x, test_y)
            C = list(scores)[best(np.array(list(scores.values())))]
            accuracy = scores[C]
        else:
            kept, held = held_out(y, seed=self.seed)
            scores = self._scores(x[kept], y[kept], x[held], y[held])
            C = list(scores)[best(np.array(list(scores.values())))]
            ((_, accuracy),) = self._scores(x, y, test_x, test_y, [C]).items()
        return Chosen(accuracy, {"C": C}, {f"C {one:g}": score for one, score in scores.items()})

    def accuracy(self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> float:
        """Test accuracy in 0..1 at the chosen C."""
        return self.choose(x, y, test_x, test_y).accuracy

    def _scores(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, C: Sequence[float] | None = None
    ) -> dict[float, float]:
        """{C: accuracy on test_x}, by rising C."""
        classes = np.unique(y)
        test_x, scores, slow = np.asarray(test_x, np.float64), {}, []
        for fit in path(x, y, self.C if C is None else C, self.tol, self.max_iter):
            scores[fit.C] = float((classes[fit.predict(test_x)] == test_y).mean())
            slow += [] if fit.converged else [fit.C]
        if slow:
            log.warning("%s has not converged at C %s, in at most %d iterations", self.name, slow, self.max_iter)
        return scores
