"""The protocol of transfer: logistic regression on frozen features, C chosen by the data set's own metric.

Ericsson, Gouk and Hospedales, "How Well Do Self-Supervised Models Transfer?", arXiv:2011.13377, and linear.py of
linusericsson/ssl-transfer; the same in the papers of SimCLR (appendix B.8) and BYOL (appendix D). L-BFGS at 45 values
of C = 10^-5 ... 10^6 (their weight decay 1/C = 10^-6 ... 10^5); C is chosen on the data set's validation images, or on
a fifth of the training images where it has none, and the regression is fitted again to both. Of multi-label data one
two-class regression a class, all with the same C.
Differs from the code: features are of our clean centre view, and each class gives a fifth; fits run to convergence,
where theirs stop after 100 steps; two-class regressions have scikit-learn's C.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax

from data_loading.errors import ConfigError
from massrl.evaluation.choice import Chosen, best
from massrl.evaluation.held_out import held_out
from massrl.evaluation.logreg import path
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register
from massrl.evaluation.transfer.metrics import MAP11, average_precision_11, calibration_error, top1

log = logging.getLogger(__name__)
STRENGTHS = tuple(float(f"{10**power:.6g}") for power in np.linspace(-5, 6, 45))
UNKNOWN = -1  # in multi-label classes: neither positive nor negative, VOC's "difficult"


@dataclass(frozen=True)
class Transferred(Chosen):
    """accuracy: by the data set's metric, in 0..1.  calibration: expected calibration error in 0..1; None for mAP."""

    calibration: float | None = None


@register(name="transfer")
@dataclass(frozen=True)
class TransferProbe(Protocol):
    """Logistic regression on frozen features of other data sets, C chosen by each set's own metric.

    C: the strengths to choose from.  share: of the training images, for the choice where a set has no validation
    images.  tol, max_iter: of L-BFGS at each C.  seed: of the held-out part.
    """

    name: ClassVar[str] = "transfer"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "ssl-transfer linear.py (arXiv:2011.13377), at the clean centre view"
    selection: ClassVar[Selection] = "held-out"
    C: Sequence[float] = STRENGTHS
    share: float = 0.2
    tol: float = 1e-5
    max_iter: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.C or not all(0 < C < float("inf") for C in self.C):
            raise ConfigError(f"C is {', '.join(f'{C:g}' for C in self.C) or 'empty'}; give numbers above 0")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "C": list(self.C)}

    def choose(
        self,
        x: np.ndarray,
        y: np.ndarray,
        test_x: np.ndarray,
        test_y: np.ndarray,
        metric: str,
        validation: int = 0,
    ) -> Transferred:
        """The result on the test images at the chosen C; of equally good ones the smallest, the strongest penalty.

        x (N, F), test_x (M, F): features.  y (N,), test_y (M,): int64 labels; for the metric map11 (N, K) and (M, K)
        int8: 1 positive, 0 negative, -1 unknown, which is left out.  metric: a key of METRICS.  validation: how many of
        the last rows of x and y are validation images; 0 holds out a share of them.
        """
        check_pair(x, y, test_x, test_y)
        groups = y if metric != MAP11 else np.zeros(len(y), np.int64)  # a random fifth, where classes overlap
        if validation:
            kept, held = np.split(np.arange(len(y)), [len(y) - validation])
        else:
            kept, held = held_out(groups, self.share, self.seed)
        fit = self._multi if metric == MAP11 else self._single
        tried = fit(x[kept], y[kept], x[held], y[held], metric, self.C)
        C = list(tried)[best(np.array([one.accuracy for one in tried.values()]))]
        found = fit(x, y, test_x, test_y, metric, [C])[C]
        scores = {f"C {one:g}": score.accuracy for one, score in tried.items()}
        return Transferred(found.accuracy, {"C": C}, scores, found.calibration)

    def _single(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, metric: str, C: Sequence[float]
    ) -> dict[float, Transferred]:
        """C -> the result on test_x, of one classifier."""
        classes, found, slow = np.unique(y), {}, []
        if len(classes) == 1:
            raise ConfigError(f"all {len(y)} training images are of one class; a classifier needs two or more")
        test_x = np.asarray(test_x, np.float64)
        for fit in path(x, y, C, self.tol, self.max_iter):
            logits = test_x @ fit.weight.T + fit.bias
            calibration = None
            if len(C) == 1:  # of the last fit alone
                probabilities = np.zeros((len(test_x), int(max(classes.max(), test_y.max())) + 1))
                probabilities[:, classes] = softmax(logits, axis=1)
                calibration = calibration_error(probabilities, test_y)
            accuracy = top1(classes[logits.argmax(1)], test_y, metric)
            found[fit.C] = Transferred(accuracy, {"C": fit.C}, calibration=calibration)
            slow += [] if fit.converged else [fit.C]
        self._warn(slow)
        return found

    def _multi(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, metric: str, C: Sequence[float]
    ) -> dict[float, Transferred]:
        """C -> the mean over classes of the average precision on test_x, of one classifier a class."""
        precisions: dict[float, list[float]] = {one: [] for one in sorted(C)}
        slow = []
        test_x = np.asarray(test_x, np.float64)
        for k in range(y.shape[1]):
            known, test_known = y[:, k] != UNKNOWN, test_y[:, k] != UNKNOWN
            positive = test_y[test_known, k] == 1
            if len(np.unique(y[known, k])) < 2 or not positive.any():
                raise ConfigError(
                    f"class {k}: training images, also those left when {self.share:g} of them are held out, need both "
                    "positive and negative ones, and test or held-out images a positive one; give more images"
                )
            for fit in path(x[known], y[known, k], C, self.tol, self.max_iter):
                logits = test_x[test_known] @ fit.weight.T + fit.bias
                precisions[fit.C].append(average_precision_11(logits[:, 1] - logits[:, 0], positive))
                slow += [] if fit.converged else [fit.C]
        self._warn(slow)
        return {one: Transferred(float(np.mean(values)), {"C": one}) for one, values in precisions.items()}

    def _warn(self, slow: Sequence[float]) -> None:
        if slow:
            strengths = sorted(set(slow))
            log.warning("%s has not converged at C %s, in at most %d steps", self.name, strengths, self.max_iter)
