"""The protocol of transfer: logistic regression on frozen features, C chosen by the data set's own metric.

Ericsson, Gouk and Hospedales, "How Well Do Self-Supervised Models Transfer?", arXiv:2011.13377, and linear.py of
linusericsson/ssl-transfer; the same in the papers of SimCLR (appendix B.8) and BYOL (appendix D). L-BFGS at 45 values
of C = 10^-5 ... 10^6 (their weight decay 1/C = 10^-6 ... 10^5); C is chosen on the data set's validation images, or on
a fifth of the training images where it has none, and the regression is fitted again to both. Of multi-label data one
two-class regression for each class, all with the same C.
Differs from the code: features are of our clean centre view; each class gives a fifth; of equally good C the smallest
is taken, theirs takes the largest; fits run to convergence, where theirs stop after 100 steps; two-class regressions
have scikit-learn's C; average precision has no point of recall 0 and precision 1, with which theirs is higher by up to
1/11.
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
from massrl.evaluation.logistic import check_path, path
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register
from massrl.evaluation.transfer.metrics import MAP11, average_precision_11, calibration_error, top1

log = logging.getLogger(__name__)
STRENGTHS = tuple(float(f"{10**power:.6g}") for power in np.linspace(-5, 6, 45))
UNKNOWN = -1  # in multi-label classes: neither positive nor negative, VOC's "difficult"


@dataclass(frozen=True)
class Transferred(Chosen):
    """accuracy: by the data set's metric, in 0..1.  calibration: expected calibration error in 0..1; None for mAP.

    stopped: the C at which L-BFGS was stopped before it converged.
    """

    calibration: float | None = None
    stopped: Sequence[float] = ()


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
        check_path(self.C, self.tol, self.max_iter)
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}; it must be above 0 and below 1")

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
        names: Sequence[str] | None = None,
    ) -> Transferred:
        """The result on the test images at the chosen C; of equally good ones the smallest, the strongest penalty.

        x (N, F), test_x (M, F): features.  y (N,), test_y (M,): int64 labels; for the metric map11 (N, K) and (M, K)
        int8: 1 positive, 0 negative, -1 unknown, which is left out.  metric: a key of METRICS.  validation: how many of
        the last rows of x and y are validation images; 0 holds out a share of them.  names: of the K classes, for
        errors.
        """
        check_pair(x, y, test_x, test_y)
        several = metric == MAP11
        if validation:
            kept, held = np.split(np.arange(len(y)), [len(y) - validation])
        else:
            groups = np.zeros(len(y), np.int64) if several else y  # a random fifth, where classes overlap
            kept, held = held_out(groups, self.share, self.seed)
        if several:
            named = list(names or map(str, range(y.shape[1])))
            _check_positives(y[kept], "training", named)
            _check_positives(y[held], "validation" if validation else "held-out", named, negatives=False)
            _check_positives(test_y, "test", named, negatives=False)
        elif len(np.unique(y[kept])) == 1:
            part = "training images" if validation else "training images that are not held out"
            raise ConfigError(f"all {len(kept)} {part} are of one class; a classifier needs two or more")
        fit = self._multi if several else self._single
        tried = fit(x[kept], y[kept], x[held], y[held], metric, self.C)
        C = list(tried)[best(np.array([one.accuracy for one in tried.values()]))]
        found = fit(x, y, test_x, test_y, metric, [C])[C]
        scores = {f"C {one:g}": score.accuracy for one, score in tried.items()}
        stopped = sorted({one for score in (*tried.values(), found) for one in score.stopped})
        if stopped:
            log.warning("%s has not converged at C %s, in at most %d steps", self.name, stopped, self.max_iter)
        return Transferred(found.accuracy, {"C": C}, scores, found.calibration, stopped)

    def _single(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, metric: str, C: Sequence[float]
    ) -> dict[float, Transferred]:
        """C -> the result on test_x, of one classifier."""
        classes, found = np.unique(y), {}
        for fit in path(x, y, C, self.tol, self.max_iter):
            probabilities = softmax(fit.logits(test_x), axis=1)
            predicted = classes[probabilities.argmax(1)]
            error = calibration_error(probabilities.max(1), predicted == test_y)
            stopped = () if fit.converged else (fit.C,)
            found[fit.C] = Transferred(top1(predicted, test_y, metric), {"C": fit.C}, {}, error, stopped)
        return found

    def _multi(
        self, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, metric: str, C: Sequence[float]
    ) -> dict[float, Transferred]:
        """C -> the mean over classes of the average precision on test_x, of one classifier for each class."""
        precisions: dict[float, list[float]] = {one: [] for one in sorted(C)}
        stopped: set[float] = set()
        for k in range(y.shape[1]):
            known, test_known = y[:, k] != UNKNOWN, test_y[:, k] != UNKNOWN
            for fit in path(x[known], y[known, k], C, self.tol, self.max_iter):
                logits = fit.logits(test_x[test_known])
                scores = logits[:, 1] - logits[:, 0]
                precisions[fit.C].append(average_precision_11(scores, test_y[test_known, k] == 1))
                stopped |= set() if fit.converged else {fit.C}
        return {
            one: Transferred(float(np.mean(values)), {"C": one}, stopped=(one,) if one in stopped else ())
            for one, values in precisions.items()
        }


def _check_positives(y: np.ndarray, part: str, names: Sequence[str], negatives: bool = True) -> None:
    """Raise ConfigError where labels (N, K) of a part leave a class without a positive, or without a negative."""
    for k, name in enumerate(names):
        lacking = [word for word, value in (("shows", 1), ("lacks", 0)) if not (y[:, k] == value).any()]
        if "shows" in lacking or (negatives and lacking):
            raise ConfigError(f"none of the {len(y)} {part} images {lacking[0]} {name}; give more, or another split")
