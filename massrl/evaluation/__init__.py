"""Evaluation of frozen encoders: extract features once, then measure them by named, versioned protocols.

Each accuracy is reported next to those of an untrained encoder and of raw pixels; docs/evaluation.md. Each name of the
package is imported when it is first used, so that importing the package takes no time.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Features": "features",
    "extract": "features",
    "KNN": "knn",
    "Linear": "linear",
    "draw": "subsets",
    "untrained_twin": "untrained",
    "compare": "table",
    "format_table": "table",
    "rankme": "measures",
    "alignment": "measures",
    "Accuracy": "accuracy",
    "feature_rows": "rows",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
