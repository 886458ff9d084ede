"""FFCV's names: scripts written for FFCV, FFCV-SSL and erow's fork run by changing the import.

    from data_loading.ffcv.loader import Loader, OrderOption
    from data_loading.ffcv.transforms import RandomHorizontalFlip, ToTensor, ToTorchImage

A translation, not a second engine: each image pipeline becomes a strategy with a crop rule, ops and a size of its own,
and `data_loading.Loader` renders all of them from one decoded image. docs/ffcv.md has the table of names.
"""

from importlib import import_module

__version__ = "1.0.2"  # of FFCV, whose names and arguments these are

_HOME = {"Loader": "loader", "DatasetWriter": "writer"}
_PARTS = ("fields", "loader", "pipeline", "reader", "transforms", "traversal_order", "writer")
__all__ = sorted([*_HOME, *_PARTS])


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _PARTS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
