"""BetonDataModule: the loaders of a run, for Lightning's Trainer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from data_loading import sources
from data_loading.config.lightning_package import pl
from data_loading.errors import CheckpointError, ConfigError
from data_loading.kernel.rng import checked_seed
from data_loading.loading import state
from data_loading.loading.epoch_iterator import EpochIterator
from data_loading.loading.loader import Loader
from data_loading.ops.base import whole
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.strategies.strategy import LARGEST
from data_loading.views import growing, view_sets
from data_loading.views.view_set import ViewSet

log = logging.getLogger(__name__)


class BetonDataModule(pl.LightningDataModule):
    """The loaders of a run: views of the images of .beton files or folders.

    A run resumed from any checkpoint of the Trainer continues with the batch after the last one it was trained on.

    Args:
        train: a .beton file, several as a pattern ("train-*.beton") or a list, or a folder of images, which is written
            once to the cache; labels are not needed.
        val: files or a folder for validation; every image gets the view of `eval`, in the file's order. A Method's
            validation gets it also with the views of training, shuffled, the same in every epoch.
        test: files or a folder for the Trainer's test; every image gets the view of `eval`, in the file's order.
        predict: files or a folder for the Trainer's predict; every image gets the view of `eval`, in the file's order.
        views: a view set as an object, written out, or by name; a strategy's name; or a list of strategies, each on two
            crops that they share; None takes the method's default.
        size: side of the global views in pixels; None takes the view set's; {0: 160, 12: 192} grows: 160, and from
            epoch 12 on 192, at which the run is evaluated.
        eval_size: side in pixels of the view of `eval` that validation, test and predict images get; None takes the
            size of the global views in the last epochs.
        batch_size: images per process.
        num_workers: loader threads per process; 0 prepares batches in the process itself, when they are asked for.
        seed: of the order and of the views; None samples one and writes it into config.yaml.
        order: random, sequential, or quasi_random, which reads the file in pieces.
        pool_pages: pages of the file that quasi_random mixes at a time.
        dtype: float32, float16 or bfloat16, normalised, or uint8.
        mean: per channel, in 0..1.
        std: per channel, in 0..1.
        cache: page, process or shared; None takes what FFCV_DEFAULT_CACHE_PROCESS says, else page.
        batches_ahead: batches that are prepared before they are asked for.
        on_error: raise, or skip, which replaces a sample that does not decode by another one.
        decode_scale: full, or half, which decodes JPEGs at half their size where no view gets smaller than its crop.
        fast_dct: the JPEG decoder's quick DCT, off by about a level.
        cache_dir: where folders are written as .beton files.
        skip_bad: leave out images of a folder that do not decode, and say how many.
        resume: continue in the data where a checkpoint stopped; false begins the data anew, as on another file.
    """

    def __init__(
        self,
        train: str | list[str],
        val: str | list[str] | None = None,
        test: str | list[str] | None = None,
        predict: str | list[str] | None = None,
        views: str | dict | list | ViewSet | None = None,
        size: int | dict | None = None,
        eval_size: int | None = None,
        batch_size: int = 256,
        num_workers: int = 2,
        seed: int | None = 0,
        order: str = "random",
        pool_pages: int = 128,
        dtype: str = "float32",
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        cache: str | None = None,
        batches_ahead: int = 3,
        on_error: str = "raise",
        decode_scale: str = "full",
        fast_dct: bool = False,
        cache_dir: str = "runs/.cache",
        skip_bad: bool = False,
        resume: bool = True,
    ):
        super().__init__()
        for name, path in (("train", train), ("val", val), ("test", test), ("predict", predict)):
            if isinstance(path, list) and not path:
                raise ConfigError(f"data.{name} is an empty list; name at least one .beton file")
        self.train, self.val, self.test, self.predict = train, val, test, predict
        self.views, self.order = views, order
        sizes = growing.by_epoch(size)  # refuses what is no size
        self.size = sizes if isinstance(size, Mapping) else size
        self.eval_size = None if eval_size is None else whole(self, "eval_size", eval_size, 1, LARGEST)
        self.batch_size, self.seed = batch_size, checked_seed(seed, "data.seed")
        self.mean, self.std, self.cache_dir, self.skip_bad = mean, std, cache_dir, skip_bad
        self.resume = resume
        self.options: dict[str, Any] = {
            "num_workers": num_workers,
            "pool_pages": pool_pages,
            "dtype": dtype,
            "cache": cache,
            "batches_ahead": batches_ahead,
            "on_error": on_error,
            "decode_scale": decode_scale,
            "fast_dct": fast_dct,
        }
        self.view_set: ViewSet | None = None
        self._written: dict[str, Path | list[Path]] = {}
        self._loader: Loader | None = None  # the newest one of training
        self._state: dict[str, Any] = {}  # of a checkpoint, until there is a loader

    def __str__(self) -> str:
        paths = {"train": self.train, "val": self.val, "test": self.test, "predict": self.predict}
        files = ", ".join(f"{name}={path!r}" for name, path in paths.items() if path is not None)
        return f"{type(self).__name__}({files})"  # Lightning's would look for the data sets of DataLoaders

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None}  # a copy makes a loader of its own

    def prepare_data(self) -> None:
        """Write folders of images to the cache; Lightning calls this in one process, before the others begin."""
        for path in (self.train, self.val, self.test, self.predict):
            if path is not None:
                self.file(path)

    def setup(self, stage: str | None = None) -> None:
        """Settle view set and seed; ConfigError for trainer.validate without `val`, and where no views are named."""
        if stage == "validate":
            self._given("val", self.val)
        self.view_set = self.resolve(getattr(self.trainer, "lightning_module", None))
        if self.trainer is not None and self.trainer.world_size > 1:
            self.seed = self.trainer.strategy.broadcast(self.seed)  # a sampled one differs between processes

    def resolve(self, method: object | None = None) -> ViewSet:
        """The view set of this run at `size`: `views`, else the method's `default_views`; ConfigError without both.

        Of sizes that grow, the last.
        """
        which = self.views if self.views is not None else getattr(method, "default_views", None)
        if which is None:
            raise ConfigError("data.views is not set, and there is no method whose default it could use; name one")
        return view_sets.get(which, growing.last(self.size))

    def train_dataloader(self) -> Loader:
        """The loader of `train`.

        Under the Trainer's overfit_batches it takes the rows in the file's order, so that all epochs have the rows of
        the first batches, under other views. CheckpointError where a checkpoint's position is of other data.
        """
        overfit = bool(getattr(self.trainer, "overfit_batches", 0))
        order: dict[str, Any] = {"order": "sequential", "drop_last": True} if overfit else {"order": self.order}
        if isinstance(self.size, dict):
            order["size"] = self.size
        kind = Loader if self.resume else FreshLoader
        try:
            self._keep_global_batch()
            self._loader = self._make(self.train, self.view_set or self.resolve(), kind, **order)
            if self.resume and self._state:
                self._loader.load_state_dict(self._state)
                self._state = {}  # used up: another fit begins anew
        except CheckpointError as error:
            raise CheckpointError(f"{error}, or begin its data anew with data.resume false") from error
        return self._loader

    @property
    def val_dataloader(self) -> Callable[[], Loader | list[Loader]]:
        """A method that makes the loader of `val`, or a loader for each of the model's `val_views`.

        Lightning validates where a data module has a `val_dataloader` of its own, and warns where the model then has no
        validation_step. So without `val` it is LightningDataModule's method, which is none.
        """
        return super().val_dataloader if self.val is None else self._val_dataloader

    def _val_dataloader(self) -> Loader | list[Loader]:
        model = getattr(self.trainer, "lightning_module", None)
        loaders = [self._validation(views) for views in getattr(model, "val_views", ("eval",))]
        return loaders[0] if len(loaders) == 1 else loaders

    def _validation(self, views: str) -> Loader:
        """A loader of `val`: with the view of `eval`, in the file's order, or with those of training, shuffled."""
        if views == "eval":
            return self._evaluation("val", self.val)
        view_set = self.view_set or self.resolve(getattr(self.trainer, "lightning_module", None))
        return self._make(self._given("val", self.val), view_set, SameLoader, order="random", drop_last=False)

    def test_dataloader(self) -> Loader:
        """The loader of `test`: the view of `eval`, every image once, in the file's order."""
        return self._evaluation("test", self.test)

    def predict_dataloader(self) -> Loader:
        """The loader of `predict`: the view of `eval`, every image once, in the file's order."""
        return self._evaluation("predict", self.predict)

    def state_dict(self) -> dict[str, Any]:
        """The training loader's state. Lightning restores this always, a loader's own state only within an epoch."""
        return self._loader.state_dict() if self._loader is not None else dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a training loader's state for the next loader of `train`."""
        self._state = dict(state_dict)

    def file(self, path: str | list[str] | None = None) -> Path | list[Path]:
        """The .beton file or files of `path`, by default of `train`; a folder is written to the cache first."""
        path = self.train if path is None else path
        if str(path) not in self._written:
            self._written[str(path)] = sources.as_beton(path, cache=Path(self.cache_dir), skip_bad=self.skip_bad)
        return self._written[str(path)]

    def _evaluation(self, name: str, path: str | list[str] | None) -> Loader:
        size = self.eval_size
        if size is None:
            size = (self.view_set or self.resolve(getattr(self.trainer, "lightning_module", None))).size
        return self._make(self._given(name, path), view_sets.get("eval", size), order="sequential")

    def _given(self, name: str, path: str | list[str] | None) -> str | list[str]:
        if path is None:
            raise ConfigError(f"data.{name} is not set; give it .beton files or a folder of images")
        return path

    def _keep_global_batch(self) -> None:
        """Take as many images per process as keep the global batch of the state that is to be loaded."""
        found = self._state.get("global_batch")
        if not self.resume or not isinstance(found, int) or found < 1:
            return
        images = state.batch_size(found, self.trainer.world_size if self.trainer is not None else 1)
        if images != self.batch_size:
            log.warning("batches of %d images per process: the checkpoint fixed the global batch, %d", images, found)
            self.batch_size = images

    def _make(
        self,
        path: str | list[str],
        view_set: ViewSet,
        kind: type[Loader] = Loader,
        **order: Any,
    ) -> Loader:
        process: dict[str, Any] = {}
        if self.trainer is not None:  # some strategies work without torch.distributed
            process = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        normalise: dict[str, Any] = {"mean": self.mean, "std": self.std}
        return kind(
            self.file(path),
            self.batch_size,
            view_set,
            seed=self.seed,
            **order,
            **normalise,
            **self.options,
            **process,
        )


class FreshLoader(Loader):
    """A Loader that begins its data anew under `data.resume: false`, though Lightning's checkpoint holds a position.

    The loaders that `filter` makes of it do so, too: under a Trainer they meet the same checkpoint.
    """

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Ignore the position: it may be one in another file."""


class SameLoader(Loader):
    """A Loader whose every pass is that of epoch 0: the same batches of the same views, so that losses compare."""

    def __iter__(self) -> EpochIterator:
        self.set_epoch(0)
        return super().__iter__()

    def set_epoch(self, epoch: int) -> None:
        """Keep epoch 0, whatever the Trainer's epoch is."""
        super().set_epoch(0)
