"""Train every method on digits for a sixth of its recipe's epochs, and evaluate its encoder before and after."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.config.lightning_package import pl
from massrl.bench.overhead import Overhead
from massrl.bench.recipes import Digits, Recipe
from massrl.evaluation.features import Features, extract
from massrl.evaluation.linear import Linear
from massrl.evaluation.measures import rankme
from massrl.evaluation.subsets import draw
from massrl.evaluation.untrained import untrained_twin
from massrl.methods import Method
from massrl.runs.quiet import quiet

SHARE = 1 / 6  # of a recipe's epochs, which take about a minute on one core
DRAWS = 20  # random label subsets
ENDS = 0.1  # share of the steps over which the loss is averaged, at the start and at the end


@dataclass
class Result:
    """Result of a short training of one method.

    parameters: number of trainable parameters.  loss_start, loss_end: mean loss over the first and the last tenth of
    the steps.  z_std: mean of `feature_std` over the last tenth.  linear_1_before, linear_1_after: test accuracy in
    0..1 with one label per class (protocol `linear`), mean over random label subsets, of the untrained and of the
    trained network.  rank_before, rank: effective rank of their training features.  seconds: of the training.
    step_overhead: share in 0..1 of a training step's time outside the backbone, None if not measured; `more` holds the
    other fields of that measurement.
    """

    method: str
    parameters: int
    loss_start: float
    loss_end: float
    linear_1_before: float
    linear_1_after: float
    rank: float
    rank_before: float
    z_std: float
    steps: int
    seconds: float
    step_overhead: float | None = None
    more: dict[str, Any] = field(default_factory=dict)

    def add(self, overhead: Overhead) -> None:
        """Add the measured overhead of a training step."""
        self.more = overhead.as_json()
        self.step_overhead = self.more["step_overhead"]

    def as_json(self) -> dict[str, Any]:
        """All fields as JSON values, those of `more` at the top level."""
        values = asdict(self)
        return {**values.pop("more"), **values}


class Recorded(pl.Callback):
    """Records the loss and z_std of every step, without synchronising the GPU."""

    def __init__(self):
        self.loss: list[Tensor] = []
        self.z_std: list[Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Method, outputs, *_: Any) -> None:
        self.loss.append(outputs["loss"].detach())
        self.z_std.append(trainer.callback_metrics["z_std"])

    def ends(self) -> tuple[float, float, float]:
        """(mean loss at the start, mean loss at the end, mean z_std at the end)."""
        loss, z_std = (torch.stack(values).double().cpu() for values in (self.loss, self.z_std))
        n = max(1, round(ENDS * len(loss)))
        return float(loss[:n].mean()), float(loss[-n:].mean()), float(z_std[-n:].mean())


class Bench:
    """Trains and evaluates methods on digits. An untrained network is evaluated once per architecture.

    seed: of weights, order, views and label subsets.  draws: number of random label subsets.
    """

    def __init__(self, digits: Digits, seed: int = 0, draws: int = DRAWS, num_workers: int = 1):
        self.digits, self.seed, self.draws, self.num_workers = digits, seed, draws, num_workers
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self._untrained: dict[str, tuple[float, float]] = {}

    def run(self, name: str, share: float = SHARE, steps: int | None = None) -> Result:
        """Train a method by its recipe and evaluate its encoder.

        share: fraction of the recipe's epochs.  steps: if given, only that many steps of one epoch.
        """
        recipe = Recipe.of(name)
        method, data = recipe.make(self.digits, self.seed, self.num_workers)
        view = {"size": recipe.data["size"], "mean": recipe.data["mean"], "std": recipe.data["std"]}
        before, rank_before = self.untrained(method.encoder, view)
        length = {"max_epochs": max(1, round(share * recipe.epochs))} if steps is None else {"max_epochs": 1}
        recorded, start = Recorded(), time.perf_counter()
        with quiet(everything=True):
            trainer = pl.Trainer(
                **length,
                limit_train_batches=steps,
                callbacks=[recorded],
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                accelerator="gpu" if self.device == "cuda" else "cpu",
                devices=1,
                use_distributed_sampler=False,
            )
            trainer.fit(method, datamodule=data)
        seconds = time.perf_counter() - start
        after, rank = self.evaluate(method.encoder, view)
        loss_start, loss_end, z_std = recorded.ends()
        return Result(
            method=name,
            parameters=sum(p.numel() for p in method.parameters() if p.requires_grad),
            loss_start=loss_start,
            loss_end=loss_end,
            linear_1_before=before,
            linear_1_after=after,
            rank=rank,
            rank_before=rank_before,
            z_std=z_std,
            steps=trainer.global_step,
            seconds=round(seconds, 2),
        )

    def untrained(self, encoder: nn.Module, view: dict) -> tuple[float, float]:
        """`evaluate` for the encoder's architecture with random weights; cached."""
        key = json.dumps([str(encoder), view])
        if key not in self._untrained:
            options = {**view, "num_workers": self.num_workers}
            twin = untrained_twin(encoder, self.digits.train, seed=self.seed, **options)
            self._untrained[key] = self.evaluate(twin, view)
        return self._untrained[key]

    def evaluate(self, encoder: nn.Module, view: dict) -> tuple[float, float]:
        """(test accuracy in 0..1 with one label per class, effective rank of the training features).

        view: {"size", "mean", "std"} of the images.
        """
        options = {**view, "num_workers": self.num_workers, "device": self.device}
        train, test = (extract(encoder, path, **options) for path in (self.digits.train, self.digits.test))
        return linear_1(train, test, self.draws, self.seed), rankme(train.x)


def linear_1(train: Features, test: Features, draws: int, seed: int) -> float:
    """Mean test accuracy in 0..1 over random subsets of one label per class, as `massrl linear --labels one`."""
    subsets = (draw(train.y, "one", seed, number) for number in range(draws))
    return float(Linear().accuracies(train.x, train.y, test.x, test.y, subsets).mean())
