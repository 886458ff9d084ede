"""massrl: self-supervised visual learning with PyTorch Lightning.

Importing the package is quick: each name is loaded when it is first used.
"""

from importlib import import_module

from massrl._version import __version__

_HOME = {
    "load": "methods",
    "Method": "methods",
    "OptimConfig": "optim",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
