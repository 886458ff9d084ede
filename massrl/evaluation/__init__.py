"""Evaluation of frozen features: extracted once, then evaluated by named protocols beside an untrained encoder.

Importing the package is quick: each name is loaded when it is first used.
"""

from importlib import import_module

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


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
