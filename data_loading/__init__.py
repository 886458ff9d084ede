"""Fast, seeded, replayable loading of images: decode once, draw many views.

The names FFCV's users know: DatasetWriter, Reader, Loader, and the fields in `data_loading.fields`.
Importing the package is quick: each name is loaded when it is first used.
"""

from importlib import import_module

_HOME = {
    "DatasetWriter": "sources.dataset_writer",
    "Reader": "beton.reader",
    "Loader": "loading.loader",
    "Batch": "batch",
    "View": "views.view_set",
    "ViewSet": "views.view_set",
    "Strategy": "strategies",
    "BetonDataModule": "loading.datamodule",
    "Plan": "views.plan",
    "replay_views": "loading.replay",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_HOME])
