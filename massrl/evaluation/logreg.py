"""Logistic regression over many strengths of the penalty: DINOv2's protocol, with its sweep as one path of fits.

Oquab et al., "DINOv2", arXiv:2304.07193, and its `dinov2/eval/log_regression.py`: multinomial logistic regression with
an L2 penalty on raw features in float64, for 45 values C = 10^-6 ... 10^5; C is chosen on a tenth of the training
images, then the regression is fitted again to all of them.
Ours are one path of logistic.py. Differs from DINOv2's code: held-out images are sampled within classes; L-BFGS stops
at a gradient of 1e-5 in the u of logistic.py, which leaves probabilities within about 1e-4 of the optimum's, in place
of cuML's tol 1e-12.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data_loading.errors import ConfigError
from massrl.evaluation.choice import Chosen, best
from massrl.evaluation.held_out import held_out
from massrl.evaluation.logistic import check_path, path
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register

log = logging.getLogger(__name__)
STRENGTHS = tuple(float(f"{10**power:.6g}") for power in np.linspace(-6, 5, 45))


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
        scores, slow = {}, []
        for fit in path(x, y, self.C if C is None else C, self.tol, self.max_iter):
            scores[fit.C] = float((classes[fit.predict(test_x)] == test_y).mean())
            slow += [] if fit.converged else [fit.C]
        if slow:
            log.warning("%s has not converged at C %s, in at most %d iterations", self.name, slow, self.max_iter)
        return scores
