"""Train a classifier by a protocol, choose its rate where the protocol chooses, and measure it on the test images."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError
from data_loading.loading.loader import Loader
from data_loading.ops import Erasing
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.sources.split import split_indices
from data_loading.strategies import STRATEGIES
from data_loading.strategies.strategy import Strategy
from data_loading.views import view_sets
from data_loading.views.view_set import ViewSet
from massrl.evaluation.classify.heads import make_head
from massrl.evaluation.classify.inputs import Inputs
from massrl.evaluation.classify.module import Classifier, Diverged
from massrl.evaluation.classify.training import Training
from massrl.runs.quiet import quiet
from massrl.runs.trainer import make_trainer, trainer_errors

BATCH = 256  # images that are measured at once


@dataclass(frozen=True)
class Fitted:
    """What one training gave.

    top1, top5: accuracies in 0..1 on the test images, after the last epoch, or after the best one where the protocol
    takes that; top5 is None with at most five classes.  last: after the last epoch.  rate: the factor on the learning
    rates that was chosen, 1 where none was.  held_out: factor -> accuracy in 0..1 on held-out images.  seconds: in all.
    """

    top1: float
    top5: float | None
    last: float
    rate: float
    held_out: dict[float, float]
    seconds: float


@dataclass(frozen=True)
class Job:
    """How a protocol is run: the data, the protocol, seed, loader threads, and arguments of Lightning's Trainer."""

    inputs: Inputs
    training: Training
    seed: int
    num_workers: int
    trainer: Mapping[str, Any]

    def fit(self, body: Callable[[], nn.Module], rows: np.ndarray, share: float) -> Fitted:
        """Train on the rows (n,) of the training file, and measure on the test file.

        body: returns the encoder to start from; it is called once for each training.  share: of the rows that are held
        out for a choice of the rate, in each class.
        """
        started = time.perf_counter()
        factor, held_out = 1.0, {}
        if self.training.selection == "held-out":
            held_out = self._compare(body, rows, share)
            # of equal ones the nearest to the protocol's own
            factor = max(held_out, key=lambda rate: (held_out[rate], -abs(math.log(rate))))
        best = self.training.selection == "test"
        module = self._train(body(), rows, [factor], "test" if best else None)
        if not best:
            self._measure(module, "test", None)
        scores = [found["top1"][0] for found in module.history]
        chosen = int(np.argmax(scores))
        top5 = module.history[chosen].get("top5")
        return Fitted(
            top1=scores[chosen],
            top5=None if top5 is None else top5[0],
            last=scores[-1],
            rate=factor,
            held_out=held_out,
            seconds=round(time.perf_counter() - started, 2),
        )

    def _compare(self, body: Callable[[], nn.Module], rows: np.ndarray, share: float) -> dict[float, float]:
        """Factor -> accuracy on the held-out rows; on a frozen encoder all heads are trained in one pass."""
        mine, other = split_indices(self.inputs.labels["train"][rows], share, self.seed)
        rates = list(self.training.rates)
        together = [rates] if self.training.frozen else [[rate] for rate in rates]
        found: dict[float, float] = {}
        for factors in together:
            try:
                module = self._train(body(), rows[mine], factors, None)
            except Diverged:
                found |= dict.fromkeys(factors, 0.0)  # a rate that is too high is not chosen
                continue
            self._measure(module, "train", rows[other])
            found |= dict(zip(factors, module.history[-1]["top1"], strict=True))
        return found

    def _train(self, body: nn.Module, rows: np.ndarray, factors: Sequence[float], each_epoch: str | None) -> Classifier:
        """A classifier trained on these rows; each_epoch: the part that is measured after every epoch."""
        n, inputs = len(rows), self.inputs
        trainer = self._trainer(self.training.epochs, each_epoch is not None)
        world = trainer.world_size
        images = min(self.training.batch_size, n)
        per_process, drop_last = batches(n, images, world)
        width = int(body.num_features)  # type: ignore[arg-type]  # torch declares Tensor | Module
        heads = [make_head(self.training, width, inputs.classes, self.seed) for _ in factors]
        module = Classifier(body, heads, self.training, inputs.classes, factors, images, self.seed)
        views = training_views(self.training, inputs.size)
        loader = self._loader("train", rows, per_process, views, order="random", drop_last=drop_last)
        test = None if each_epoch is None else self._test_loader(each_epoch, None)
        with quiet(), trainer_errors(), pl.utilities.seed.isolate_rng():
            torch.manual_seed(self.seed)  # of dropout and drop path
            trainer.fit(module, train_dataloaders=loader, val_dataloaders=test)
        return module

    def _measure(self, module: Classifier, part: str, rows: np.ndarray | None) -> None:
        """Append to `module.history` the accuracy on these rows of a part, of all where None, without augmentation."""
        with quiet(), trainer_errors():
            self._trainer(1, True).validate(module, dataloaders=self._test_loader(part, rows), verbose=False)

    def _test_loader(self, part: str, rows: np.ndarray | None) -> Loader:
        views = evaluation_views(self.training, self.inputs.size)
        return self._loader(part, rows, BATCH, views, order="sequential", drop_last=False)

    def _loader(self, part: str, rows: np.ndarray | None, batch_size: int, views: ViewSet, **order: Any) -> Loader:
        inputs = self.inputs
        return Loader(
            inputs.files[part],
            batch_size,
            views,
            indices=rows,
            seed=self.seed,
            num_workers=self.num_workers,
            mean=IMAGENET_MEAN if inputs.mean is None else inputs.mean,
            std=IMAGENET_STD if inputs.std is None else inputs.std,
            **order,
        )

    def _trainer(self, epochs: int, measuring: bool) -> pl.Trainer:
        fixed: dict[str, Any] = {
            "max_epochs": epochs,
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "use_distributed_sampler": False,
            "num_sanity_val_steps": 0,
            "limit_val_batches": None if measuring else 0,
        }
        with quiet():
            return make_trainer(**{"enable_progress_bar": sys.stderr.isatty(), **self.trainer, **fixed})


def batches(n: int, batch_size: int, world: int) -> tuple[int, bool]:
    """(images of a batch per process, whether the last batch is left out) for epochs of n images.

    Batches of nearly equal size in place of full ones and a small last one, in which BatchNorm would see few images; as
    many as full ones and a last one would be. Several processes need equal batches, so that a few images are left out.
    """
    count = -(-n // batch_size)
    if world == 1:
        size = -(-n // count)
        return size, n % size == 1  # a last batch of one image is left out
    if n < count * world:
        raise ConfigError(f"{n} training images are too few for {world} processes; give --devices 1")
    return n // (count * world), True


def training_views(training: Training, size: int) -> ViewSet:
    """One training view of `size` pixels: that of `views`, with the protocol's interpolation and erasing."""
    which = training.views
    if isinstance(which, str) and (which in STRATEGIES or "." in which):
        which = {"strategies": [which], "crops": 1}
    views = view_sets.get(which, size)
    if len(views) != 1:
        raise ConfigError(
            f"views makes {len(views)} views of an image; a classifier takes one: name a strategy, or crops: 1"
        )
    (own,) = views.strategies
    if training.erasing:
        variants = [[*variant, Erasing(p=training.erasing)] for variant in own.variants]
        own = Strategy(own.name, variants, crop=own.crop, size=own.size, interpolation=own.interpolation)
    if training.erasing or training.interpolation != views.interpolation:
        views = ViewSet([own], crops=1, size=views.size, interpolation=training.interpolation)
    return views


def evaluation_views(training: Training, size: int) -> ViewSet:
    """The view without augmentation, with the protocol's interpolation."""
    views = view_sets.get("eval", size)
    if training.interpolation == views.interpolation:
        return views
    return ViewSet(views.strategies, crops=1, size=size, interpolation=training.interpolation)
