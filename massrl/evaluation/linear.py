"""Linear probe: multinomial logistic regression on frozen features, by L-BFGS to convergence.

    minimise over W, b:   C * sum_i -log softmax(W x_i + b)[y_i]  +  1/2 ||W||^2        (b is not penalised)
    x = (feature - m) * norm / r      m: mean of the training features,  r: root of the mean of ||feature - m||^2
One scalar, so the geometry stays; after it the training features have a root-mean-square norm of `norm` whatever their
number, and one C suits encoders of any width, and pixels. C has scikit-learn's meaning. m and r use no labels: they are
taken over all training features, also when only some labels are used.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from threadpoolctl import threadpool_limits

from data_loading.errors import ConfigError
from massrl.evaluation.protocol import Protocol, check_pair

log = logging.getLogger(__name__)
SMALL = 10**8  # multiplications of one product of samples and weights


@dataclass(frozen=True)
class Linear(Protocol):
    """The `linear` protocol.

    C: inverse strength of the penalty; C_one_per_class: the same with one label a class. norm: root-mean-square norm of
    the scaled features. tol: largest gradient entry of the mean objective at the end. max_iter: of L-BFGS.
    """

    name: ClassVar[str] = "linear"
    version: ClassVar[int] = 1
    C: float = 1.0
    C_one_per_class: float = 10.0
    norm: float = 8.0
    tol: float = 1e-6
    max_iter: int = 5000

    def __post_init__(self):
        for what in ("C", "C_one_per_class", "norm", "tol", "max_iter"):
            if getattr(self, what) <= 0:
                raise ConfigError(f"{what} is {getattr(self, what)}; it must be above 0")

    def scale(self, x: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
        """x (N, F), and others (M, F), less x's mean and times one scalar, both taken from x; float64."""
        mean = x.mean(0, dtype=np.float64)
        centred = [np.asarray(a, np.float64) - mean for a in (x, *others)]
        rms = np.sqrt(np.mean(np.sum(centred[0] ** 2, axis=1)))
        return [a * (self.norm / rms if rms > 0 else 1.0) for a in centred]  # rms 0: collapsed features stay zero

    def strength(self, y: np.ndarray) -> float:
        """C for these labels: another one when no class has two."""
        return self.C_one_per_class if len(np.unique(y)) == len(y) else self.C

    def accuracy(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, subset: np.ndarray | None = None
    ) -> float:
        """Share of test samples named rightly, in 0..1, by a probe trained on rows `subset` of x (default: all)."""
        check_pair(x, y, test_x, test_y)
        x, test_x = self.scale(x, test_x)
        return self.scaled_accuracy(x, y, test_x, test_y, subset)

    def scaled_accuracy(self, x, y, test_x, test_y, subset=None) -> float:
        """The same for features that `scale` has made, so that many subsets need it only once."""
        if subset is not None:
            x, y = x[subset], y[subset]
        classes = np.unique(y)
        if len(classes) == 1:
            return float((test_y == classes[0]).mean())
        weight, bias, iterations = fit(x, y, self.strength(y), self.tol, self.max_iter)
        if iterations >= self.max_iter:
            log.warning("the linear probe has not converged after %d iterations of L-BFGS", iterations)
        return float((classes[(test_x @ weight.T + bias).argmax(1)] == test_y).mean())


def fit(x: np.ndarray, y: np.ndarray, C: float, tol: float = 1e-6, max_iter: int = 5000):
    """Weights (K, F), bias (K,) and the number of iterations, for features x (N, F) float64 and labels y (N,).

    With fewer samples than dimensions the optimal weights lie in the span of the samples, so that the fit is made in
    that basis and turned back: the same optimum, at the cost of N dimensions in place of F.
    """
    if len(x) < x.shape[1]:
        basis, small = np.linalg.qr(x.T)  # (F, N), (N, N): x = small.T @ basis.T
        weight, bias, iterations = fit(small.T, y, C, tol, max_iter)
        return weight @ basis.T, bias, iterations
    classes, codes = np.unique(y, return_inverse=True)
    n, width, count = len(x), x.shape[1], len(classes)
    rows = np.arange(n)
    decay = 1 / (C * n)  # the objective divided by C * n, so that tol does not depend on the number of samples

    def objective(flat: np.ndarray):
        weight, bias = flat[: count * width].reshape(count, width), flat[count * width :]
        logits = x @ weight.T + bias  # (N, K)
        value = -log_softmax(logits, axis=1)[rows, codes].mean() + decay / 2 * np.sum(weight**2)
        error = softmax(logits, axis=1)
        error[rows, codes] -= 1
        error /= n
        return value, np.concatenate([(error.T @ x + decay * weight).ravel(), error.sum(0)])

    # ftol 0: stop by the gradient, not by a small step of the value
    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 0.0, "maxcor": 20, "maxls": 50}
    # Small products are faster on one thread, and several times so on a machine that is shared.
    with threadpool_limits(1 if n * width * count < SMALL else None, "blas"):
        found = minimize(objective, np.zeros(count * (width + 1)), jac=True, method="L-BFGS-B", options=options)
    return found.x[: count * width].reshape(count, width), found.x[count * width :], found.nit
