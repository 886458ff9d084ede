"""BetonDataModule: the loaders of a run, for Lightning's Trainer."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl

from data_loading import sources, views
from data_loading.errors import ConfigError
from data_loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.rng import checked_seed
from data_loading.views import ViewSet


class BetonDataModule(pl.LightningDataModule):
    """Views of the images of a .beton file or a folder.

    Args:
        train: a .beton file, or a folder of images, which is written once to the cache.
        views: a view set, its name, or a strategy's name; None takes the method's default.
        size: side of the global views in pixels; None takes the view set's.
        batch_size: images per process.
        num_workers: loader threads per process.
        seed: of the order and of the views; None draws one and writes it into config.yaml.
        mean: per channel, in 0..1.
        std: per channel, in 0..1.
        cache_dir: where folders are written as .beton files.
        skip_bad: leave out images of a folder that do not decode, and say how many.
    """

    def __init__(
        self,
        train: str,
        views: str | ViewSet | None = None,
        size: int | None = None,
        batch_size: int = 256,
        num_workers: int = 2,
        seed: int | None = 0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        cache_dir: str = "runs/.cache",
        skip_bad: bool = False,
    ):
        super().__init__()
        self.train, self.views, self.size = train, views, size
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, checked_seed(seed, "data.seed")
        self.mean, self.std, self.cache_dir, self.skip_bad = mean, std, cache_dir, skip_bad
        self.view_set: ViewSet | None = None
        self._written: Path | None = None

    def prepare_data(self) -> None:
        """Write a folder to the cache, once, before the processes of a run part."""
        self.file()

    def setup(self, stage: str | None = None) -> None:
        self.view_set = self.resolve(getattr(self.trainer, "lightning_module", None))
        if self.trainer is not None and self.trainer.world_size > 1:
            self.seed = self.trainer.strategy.broadcast(self.seed)  # one that was drawn differs between processes

    def resolve(self, method: object | None = None) -> ViewSet:
        """The view set of this run: `views`, else the method's `default_views`, at `size`."""
        which = self.views if self.views is not None else getattr(method, "default_views", None)
        if which is None:
            raise ConfigError("data.views is not set, and no method is there whose default it could take; name one")
        return views.get(which, self.size)

    def train_dataloader(self) -> Loader:
        return Loader(
            self.file(),
            self.batch_size,
            self.view_set or self.resolve(),
            num_workers=self.num_workers,
            seed=self.seed,
            mean=self.mean,
            std=self.std,
        )

    def file(self) -> Path:
        """The .beton file of `train`."""
        if self._written is None:
            self._written = sources.as_beton(self.train, cache=Path(self.cache_dir), skip_bad=self.skip_bad)
        return self._written
