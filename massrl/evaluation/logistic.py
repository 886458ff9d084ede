"""Multinomial logistic regression with an L2 penalty in float64, at one strength or along a path of strengths.

    minimise over W, b:   C * sum_i -log softmax(W x_i + b)[y_i]  +  a/2 ||W||^2        (b is not penalised)
    a = 1, and 2 for two classes: their model is then w = W_1 - W_0 with the penalty 1/2 ||w||^2
C is that of scikit-learn's LogisticRegression, which fits one row of weights for two classes and a row for each of
more.

Features are rotated once to their principal axes z, with variances e_j, and L-BFGS runs in
    u_j = w_j sqrt(h e_j + a/(C n)),        h: the mean curvature of the loss at the start,
in which the curvature is about the same in all directions. Raw pixels, whose variances differ by a factor of a
million, then take tens of steps, where L-BFGS in W takes hundreds to thousands. Along a path of strengths the rotation
is shared, and each fit starts where that of the next smaller C has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from data_loading.errors import ConfigError
from massrl.evaluation.protocol import slices

SMALL = 10**8  # multiplications, below which BLAS runs on one thread: several times faster where others work, too
NUMBERS = 2**19  # of z in a block, 4 MiB, which stays in the processor's cache: a step of L-BFGS reads z once


class Fit(NamedTuple):
    """weight (K, F) and bias (K,) float64 at the strength C; iterations of L-BFGS, and whether it has converged."""

    C: float
    weight: np.ndarray
    bias: np.ndarray
    iterations: int
    converged: bool

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits (M, K) float64 of x (M, F), of any type of numbers."""
        found = np.empty((len(x), len(self.bias)))
        for rows in slices(len(x)):
            found[rows] = x[rows] @ self.weight.T + self.bias
        return found

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Index of the class (M,) of x (M, F)."""
        return self.logits(x).argmax(1)


def fit(x: np.ndarray, y: np.ndarray, C: float, tol: float = 1e-6, max_iter: int = 1000) -> Fit:
    """Fit the regression at one C; arguments as in `path`, but `tol` is 1e-6 unless said."""
    return next(path(x, y, [C], tol, max_iter))


def path(x: np.ndarray, y: np.ndarray, C: Sequence[float], tol: float = 1e-5, max_iter: int = 1000) -> Iterator[Fit]:
    """Fit the regression for every C, from the smallest on, each from the one before.

    x (N, F), of any type of numbers; y (N,), two or more distinct labels, in ascending order those of the rows of W.
    tol: L-BFGS stops when no entry of the gradient of the mean loss in u exceeds it; 1e-5 leaves probabilities within
    about 1e-4 of the optimum's.  max_iter: for each C.
    Memory beside x, in bytes: 8 N F of turned features, 24 F^2 for the axes, 320 K F for L-BFGS; where N < F, about
    24 N F instead of the first two.
    """
    classes, codes = np.unique(y, return_inverse=True)
    with threadpool_limits(1 if x.size * min(x.shape) < SMALL else None, "blas"):
        problem = _Problem(x, codes, len(classes))
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
        self.codes, self.classes = codes, classes
        self.mean = x.mean(0, dtype=np.float64)
        self.axes = _principal_axes(x, self.mean)
        self.z = np.empty((len(x), self.axes.shape[1]))
        for rows in slices(len(x)):
            self.z[rows] = (x[rows] - self.mean) @ self.axes
        self.variance = np.einsum("nj,nj->j", self.z, self.z) / len(x)
        self.blocks = list(slices(len(x), max(1, NUMBERS // max(self.z.shape[1], classes))))

    def fit(
        self, C: float, weight: np.ndarray, bias: np.ndarray, tol: float, max_iter: int
    ) -> tuple[np.ndarray, np.ndarray, int, bool]:
        """(weight, bias, iterations, converged) at the strength C, from those of another; weight (K, axes)."""
        n, size = len(self.z), weight.size
        decay = (2 if self.classes == 2 else 1) / (C * n)
        curvature = self._curvature(weight, bias)
        scale = np.sqrt(curvature * self.variance + decay)  # u = w * scale
        of_bias = np.sqrt(curvature + 1e-12)

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            w, b = flat[:size].reshape(weight.shape) / scale, flat[size:] / of_bias
            value, gradient, gradient_of_bias = self._mean_loss(w, b)
            gradient = (gradient + decay * w) / scale
            return value + decay / 2 * np.sum(w**2), np.concatenate([gradient.ravel(), gradient_of_bias / of_bias])

        # ftol 0: stop by the gradient, never by a small change of the value
        options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "gtol": tol, "ftol": 0.0, "maxcor": 20, "maxls": 50}
        start = np.concatenate([(weight * scale).ravel(), bias * of_bias])
        limit = 1 if self.z.size * self.classes < SMALL else None
        with threadpool_limits(limit, "blas"):
            found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        weight, bias = found.x[:size].reshape(weight.shape) / scale, found.x[size:] / of_bias
        return weight, bias, found.nit, bool(found.success)

    def _mean_loss(self, weight: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """The mean cross-entropy and its gradients (K, axes) and (K,)."""
        value, gradient, of_bias = 0.0, np.zeros_like(weight), np.zeros_like(bias)
        for rows in self.blocks:
            z, here = self.z[rows], np.arange(rows.stop - rows.start)
            p, log_sum, logits = self._softmax(z, weight, bias)
            value += (log_sum - logits[here, self.codes[rows]]).sum()
            p[here, self.codes[rows]] -= 1
            gradient += p.T @ z
            of_bias += p.sum(0)
        return value / len(self.z), gradient / len(self.z), of_bias / len(self.z)

    def _curvature(self, weight: np.ndarray, bias: np.ndarray) -> float:
        """The mean of p (1 - p) over images and classes."""
        parts = (self._softmax(self.z[rows], weight, bias)[0] for rows in self.blocks)
        return sum(float((p * (1 - p)).sum()) for p in parts) / (len(self.z) * self.classes)

    @staticmethod
    def _softmax(z: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities (B, K), and log_sum (B,) and logits (B, K) for which log p = logits - log_sum."""
        logits = z @ weight.T + bias
        logits -= logits.max(1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(1, keepdims=True)
        p /= total
        return p, np.log(total[:, 0]), logits

    def original(self, C: float, weight: np.ndarray, bias: np.ndarray, iterations: int, converged: bool) -> Fit:
        """The same classifier of x in place of z."""
        turned = weight @ self.axes.T
        return Fit(C, turned, bias - turned @ self.mean, iterations, converged)


def _principal_axes(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(F, A) orthonormal directions of x (N, F) around its mean, by rising variance; A = min(N, F).

    With fewer images than dimensions the optimal weights lie in the span of the images, so that N axes are enough.
    """
    if len(x) < x.shape[1]:
        basis, small = np.linalg.qr((x - mean).T)  # (F, N), (N, N): x - mean = small.T @ basis.T
        return basis @ np.linalg.eigh(small @ small.T)[1]
    squares = np.zeros((x.shape[1], x.shape[1]))
    for rows in slices(len(x)):
        centred = x[rows] - mean
        squares += centred.T @ centred
    return np.linalg.eigh(squares)[1]
