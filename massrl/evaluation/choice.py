"""The result of one evaluation by a protocol: its test accuracy, and which setting was chosen for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Chosen:
    """accuracy: on the test images, in 0..1.  setting: name -> value of what was chosen; {} where nothing is.

    tried: setting in words -> accuracy by which it was chosen or not, on held-out images, or, where the protocol is
    optimistic, on the test images.
    """

    accuracy: float
    setting: Mapping[str, Any] = field(default_factory=dict)
    tried: Mapping[str, float] = field(default_factory=dict)

    @property
    def said(self) -> str:
        return words(self.setting)


def words(setting: Mapping[str, Any]) -> str:
    """A setting in words: "k 20, tau 0.07, cosine"; a value that is a string stands without its name."""
    return ", ".join(v if isinstance(v, str) else f"{k} {v:g}" for k, v in setting.items() if v is not None)


def best(scores: np.ndarray) -> int:
    """Index of the highest score; the first of equal ones."""
    return int(np.argmax(scores))
