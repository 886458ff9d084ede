"""Fast, seeded, replayable loading of images: decode once, render many views.

The names FFCV's users know: DatasetWriter, Reader, Loader, and the fields in `data_loading.fields`.
Importing the package is quick: each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what a type checker and an editor see
    from data_loading.batch import Batch as Batch
    from data_loading.beton.reader import Reader as Reader
    from data_loading.loading.datamodule import BetonDataModule as BetonDataModule
    from data_loading.loading.loader import Loader as Loader
    from data_loading.loading.replay import replay_views as replay_views
    from data_loading.sources.dataset_writer import DatasetWriter as DatasetWriter
    from data_loading.strategies import Strategy as Strategy
    from data_loading.views.plan import Plan as Plan
    from data_loading.views.view_set import View as View
    from data_loading.views.view_set import ViewSet as ViewSet

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


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
