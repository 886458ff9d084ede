# What a type checker and an editor see of the package, whose names are loaded when they are first used.
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

__all__ = [
    "Batch",
    "BetonDataModule",
    "DatasetWriter",
    "Loader",
    "Plan",
    "Reader",
    "Strategy",
    "View",
    "ViewSet",
    "replay_views",
]
