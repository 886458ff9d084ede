"""Train a module on dense samples and measure it: what `detect` and `segment` share."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.config.lightning_package import pl
from data_loading.errors import CheckpointError
from data_loading.kernel.rng import checked_seed
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from massrl.backbones import reinitialise
from massrl.dense.images import DenseData
from massrl.dense.recipes import Recipe
from massrl.distributed import world_size
from massrl.evaluation.untrained import calibrate
from massrl.methods import load
from massrl.methods.base import Branch
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.quiet import quiet
from massrl.runs.record import file_sha256
from massrl.runs.trainer import make_trainer, trainer_errors

# What Lightning warns of although it is meant.
EXPECTED = (
    r"Found \d+ module\(s\) in eval mode at the start of training",  # the frozen ones
    r"The '(train|test)_dataloader' does not have many workers",
    r"Consider setting `persistent_workers=True`",
    r"The number of training batches .* is smaller than the logging interval",
    r"Trying to infer the `batch_size` from an ambiguous collection",
    r"You defined a `validation_step` but have no `val_dataloader`",
)


@dataclass(frozen=True)
class Machine:
    """Where it is trained: arguments of Lightning's Trainer."""

    accelerator: str = "auto"
    devices: int | str | list[int] = "auto"
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    progress: bool = True

    def trainer(self, recipe: Recipe, sync_norm: bool, clip_norm: float | None = None) -> pl.Trainer:
        """A Trainer for the steps of a recipe. sync_norm: BatchNorm over all processes, on GPUs alone."""
        gpu = torch.cuda.is_available() and self.accelerator in ("auto", "gpu", "cuda")
        with quietly():
            return self._made(recipe.steps, sync_norm and gpu, clip_norm)

    def _made(self, steps: int, sync_norm: bool, clip_norm: float | None) -> pl.Trainer:
        return make_trainer(
            accelerator=self.accelerator,
            devices=self.devices,
            num_nodes=self.num_nodes,
            strategy=self.strategy,
            precision=self.precision,
            max_steps=steps,
            max_epochs=-1,
            gradient_clip_val=clip_norm,
            sync_batchnorm=sync_norm,
            use_distributed_sampler=False,  # ours repeats no test image
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=self.progress,
        )


@dataclass(frozen=True)
class Source:
    """The backbone of a checkpoint. mean, std: of its images, ImageNet's where the checkpoint does not say."""

    backbone: nn.Module
    method: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    facts: dict[str, Any] = field(default_factory=dict)

    def copy(self) -> nn.Module:
        """The backbone, to be trained."""
        return copy.deepcopy(self.backbone)

    def untrained(self, seed: int) -> nn.Module:
        """The same architecture with random weights."""
        return reinitialise(self.copy(), seed)


def source(checkpoint: str | os.PathLike, branch: Branch | None = None) -> Source:
    """The backbone of the online or the target network, of the one that is evaluated unless said.

    Raises CheckpointError, ConfigError for a method without a target network.
    """
    path = find(checkpoint)
    sha = file_sha256(path)
    data = Checkpoint.read(path).data(1)  # its size is not used
    with pl.utilities.seed.isolate_rng():  # a method is made with random weights first
        method = load(path)
    if file_sha256(path) != sha:
        raise CheckpointError(f"{path}: was replaced while it was read; run this again, or copy it first")
    return Source(
        backbone=method.backbone_of(branch or method.evaluated).requires_grad_(True),  # a target's has none
        method=type(method).__name__,
        mean=tuple(data["mean"] or IMAGENET_MEAN),
        std=tuple(data["std"] or IMAGENET_STD),
        facts={"checkpoint_sha256": sha, "branch": branch or method.evaluated},
    )


def train_and_test(module: pl.LightningModule, data: DenseData, trainer: pl.Trainer) -> None:
    """Fit the module for the Trainer's steps, then test it."""
    with quietly(), trainer_errors():
        trainer.fit(module, datamodule=data)
        if trainer.interrupted:
            raise KeyboardInterrupt
        trainer.test(module, datamodule=data, verbose=False)


def calibrated(backbone: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set BatchNorm's statistics of an untrained backbone, in place, on a GPU where there is one.

    batches: images (B, 3, H, W), normalised.
    """
    if torch.cuda.is_available():
        backbone.to(torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))))
    calibrate(backbone, batches)
    backbone.cpu()


def gathered(of_rank: list[Any]) -> list[Any]:
    """The items of all processes, which may have different numbers of them, in order of rank."""
    if world_size() == 1:
        return of_rank
    parts: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(parts, of_rank)
    return [item for part in parts for item in part]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random numbers of torch, NumPy and Python from this seed in the block, as before after it."""
    with pl.utilities.seed.isolate_rng():
        pl.seed_everything(checked_seed(seed) % 2**32, verbose=False)
        yield


@contextmanager
def quietly() -> Iterator[None]:
    """Without Lightning's messages, and without the warnings that are expected."""
    with quiet(), warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        yield
