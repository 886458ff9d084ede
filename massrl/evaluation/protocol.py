"""What every evaluation protocol has: a name, a version, and all its parameters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from data_loading.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """A rule that turns features and labels into an accuracy; equal name, version and parameters, equal numbers."""

    name: ClassVar[str]
    version: ClassVar[int]

    @property
    def title(self) -> str:
        return f"{self.name} v{self.version}"

    def parameters(self) -> dict:
        return asdict(self)


def check_pair(x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> None:
    """Refuse features and labels that do not fit: x (N, F), y (N,), test_x (M, F), test_y (M,)."""
    for what, a, b in (("train", x, y), ("test", test_x, test_y)):
        if a.ndim != 2 or len(a) != len(b) or not len(a):
            raise ConfigError(f"{what} features of shape {a.shape} do not fit {len(b)} labels; give (N, F) and (N,)")
        if not np.isfinite(a).all():
            raise ConfigError(f"the {what} features hold NaN or infinity: the encoder's training has diverged")
    if x.shape[1] != test_x.shape[1]:
        raise ConfigError(f"train features have {x.shape[1]} dimensions, test features {test_x.shape[1]}")
