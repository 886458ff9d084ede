"""Linear probe: multinomial logistic regression on frozen features, fitted by L-BFGS to convergence.

    minimise over W, b:   C * sum_i -log softmax(W x_i + b)[y_i]  +  a/2 ||W||^2        (b is not penalised)
    x = (feature - m) * norm / r      m: mean of the training features,  r: root mean square of ||feature - m||
    a = 1, and 2 for two classes: their model is then w = W_1 - W_0 with the penalty 1/2 ||w||^2
Features are scaled by a single scalar, which keeps their geometry. The scaled training features have root-mean-square
norm `norm` whatever their number and width, so one C suits every encoder and raw pixels. C is that of scikit-learn's
LogisticRegression, which fits one row of weights for two classes and a row for each of more. m and r use no labels and
are computed from all training features, also when the probe uses only some labels.

Version 2 differs from version 1 for two classes alone: there a was 1, so that C = 1 was scikit-learn's C = 2.
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
from massrl.evaluation.protocol import BLOCK, Protocol, check_finite, check_pair, register

log = logging.getLogger(__name__)
SMALL = 10**8  # multiplications in x @ weight.T, below which BLAS runs on one thread


@register(name="linear")
@dataclass(frozen=True)
class Linear(Protocol):
    """Logistic regression on frozen features, by L-BFGS to convergence, with one fixed penalty.

    C: inverse strength of the L2 penalty.  C_one_per_class: C when every class has one label.  norm: root-mean-square
    norm of the scaled features.  tol: L-BFGS stops when no entry of the gradient of the mean objective exceeds it.
    max_iter: iterations of L-BFGS at most; a warning is logged when it has not converged.
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

    def scale(self, x: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
        """Centre and scale features, [x, *others], by the mean and root-mean-square norm of x; float64.

        x (N, F) training features, others (M, F) each. Collapsed features (all rows equal) become zero. Raises
        ConfigError for features that are not finite.
        """
        for a in (x, *others):
            check_finite(a)
        mean = x.mean(0, dtype=np.float64)
        scaled = [np.array(a, np.float64) for a in (x, *others)]  # copies, changed in place
        for a in scaled:
            a -= mean
        blocks = (scaled[0][start : start + BLOCK] for start in range(0, len(x), BLOCK))
        rms = np.sqrt(np.mean(np.concatenate([np.sum(block**2, axis=1) for block in blocks])))
        for a in scaled:
            a *= self.norm / rms if rms > 0 else 1.0  # rms 0: collapsed
        return scaled

    def strength(self, y: np.ndarray) -> float:
        """C for labels y (N,): `C_one_per_class` when no class has two labels, else `C`."""
        return self.C_one_per_class if len(np.unique(y)) == len(y) else self.C

    def accuracy(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, subset: np.ndarray | None = None
    ) -> float:
        """Test accuracy in 0..1 of a probe trained on the rows `subset` of x (default: all rows).

        x (N, F), test_x (M, F) features; y (N,), test_y (M,) int64 labels. Raises ConfigError when they do not fit.
        """
        check_pair(x, y, test_x, test_y)
        x, test_x = self.scale(x, test_x)
        return self.scaled_accuracy(x, y, test_x, test_y, subset)

    def scaled_accuracy(self, x, y, test_x, test_y, subset=None) -> float:
        """`accuracy` for features that `scale` has returned: scale once, then evaluate many label subsets."""
        if subset is not None:
            x, y = x[subset], y[subset]
        classes = np.unique(y)
        if len(classes) == 1:
            return float((test_y == classes[0]).mean())
        weight, bias, _ = fit(x, y, self.strength(y), self.tol, self.max_iter)
        return float((classes[(test_x @ weight.T + bias).argmax(1)] == test_y).mean())


def fit(x: np.ndarray, y: np.ndarray, C: float, tol: float = 1e-6, max_iter: int = 5000):
    """Fit the probe: weights (K, F), bias (K,), and the number of iterations, for x (N, F) float64 and labels y (N,).

    K is the number of distinct labels, in ascending order. C, tol, max_iter: as in `Linear`. For two classes the rows
    of the weights are -w/2 and w/2 of scikit-learn's w. A warning is logged when L-BFGS has not converged.
    With fewer samples than dimensions the optimal weights lie in the span of the samples: fit in an orthonormal basis
    of that span (N dimensions instead of F) and transform back. The optimum does not change.
    """
    if len(x) < x.shape[1]:
        basis, small = np.linalg.qr(x.T)  # (F, N), (N, N): x = small.T @ basis.T
        weight, bias, iterations = fit(small.T, y, C, tol, max_iter)
        return weight @ basis.T, bias, iterations
    classes, codes = np.unique(y, return_inverse=True)
    n, width, count = len(x), x.shape[1], len(classes)
    rows = np.arange(n)
    # The objective is divided by C * n, so that tol does not depend on the number of samples.
    decay = (2 if count == 2 else 1) / (C * n)

    def objective(flat: np.ndarray):
        """(value, gradient) at the flattened weights and bias."""
        weight, bias = flat[: count * width].reshape(count, width), flat[count * width :]
        logits = x @ weight.T + bias  # (N, K)
        value = -log_softmax(logits, axis=1)[rows, codes].mean() + decay / 2 * np.sum(weight**2)
        error = softmax(logits, axis=1)
        error[rows, codes] -= 1
        error /= n
        return value, np.concatenate([(error.T @ x + decay * weight).ravel(), error.sum(0)])

    # ftol 0: stop by the gradient, never by a small change of the value
    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 0.0, "maxcor": 20, "maxls": 50}
    # Small products are faster on one thread, by several times on a shared machine.
    with threadpool_limits(1 if n * width * count < SMALL else None, "blas"):
        found = minimize(objective, np.zeros(count * (width + 1)), jac=True, method="L-BFGS-B", options=options)
    if not found.success:  # the limit of iterations, or a line search that found no smaller value
        log.warning("the linear probe has not converged after %d iterations of L-BFGS: %s", found.nit, found.message)
    return found.x[: count * width].reshape(count, width), found.x[count * width :], found.nit
