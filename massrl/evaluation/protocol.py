"""Protocol: the base class of evaluation protocols, with a name, a version and parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from data_loading.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """A rule that turns features and labels into an accuracy.

    Equal name, version and parameters give equal numbers: a change of the rule gets a new version.
    """

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def title(self) -> str:
        """Name and version, for example "knn v1"."""
        return f"{self.name} v{self.version}"

    def parameters(self) -> dict[str, Any]:
        """All parameters as JSON values, for the record of a result."""
        return asdict(self)


def check_pair(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    """Raise ConfigError unless x is (N, F), y (N,), test_x (M, F), test_y (M,), not empty, and features are finite."""
    for what, a, b in (("train", x, y), ("test", test_x, test_y)):
        if a.ndim != 2 or len(a) != len(b) or not len(a):
            raise ConfigError(f"{what} features of shape {a.shape} do not fit {len(b)} labels; give (N, F) and (N,)")
        if not np.isfinite(a).all():
            raise ConfigError(f"the {what} features hold NaN or infinity; the encoder's training has probably diverged")
    if x.shape[1] != test_x.shape[1]:
        raise ConfigError(f"train features have {x.shape[1]} dimensions, test features have {test_x.shape[1]}")
