"""Drawn data and small methods for the tests of massrl."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch

from data_loading.batch import Batch
from massrl.methods import METHODS, Method
from massrl.optim import OptimConfig

CLASSES = 4


class Drawn:
    """A loader of drawn batches, the same in every epoch: V views of an image are the image plus noise.

    views: how many global ones, or (global, local); local views are cut from the middle.
    part: (rank, world) takes the rank's slice of each batch, as a distributed loader would.
    """

    def __init__(
        self,
        views: int | tuple[int, int] = 2,
        batches: int = 4,
        images: int = 16,
        size: int = 8,
        labels=True,
        part=(0, 1),
        local_size: int = 6,
    ):
        views, local = views if isinstance(views, tuple) else (views, 0)
        off = (size - local_size) // 2
        middle = slice(off, off + local_size)
        draw = torch.Generator().manual_seed(0)
        rank, world = part
        mine = slice(rank * images // world, (rank + 1) * images // world)
        self.batch_size = images // world
        self.batches = []
        for i in range(batches):
            classes = torch.arange(images) % CLASSES
            image = torch.randn(images, 3, size, size, generator=draw) + classes[:, None, None, None] - 1.5
            xs = [(image + 0.3 * torch.randn(image.shape, generator=draw))[mine] for _ in range(views + local)]
            xs[views:] = [x[..., middle, middle].contiguous() for x in xs[views:]]
            batch = Batch.from_views(xs, labels=classes[mine] if labels else None)
            batch.index = torch.arange(images)[mine] + i * images
            self.batches.append(batch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


def small(name: str, **args) -> Method:
    """The method of that name on a tiny encoder, every width of its heads 16, with SGD; seeded."""
    signature = inspect.signature(METHODS[name].__init__).parameters
    sizes = {
        "queue_size": 40,
        "num_prototypes": 12,
        "num_classes": CLASSES,
        "freeze_steps": 2,
    }  # 40: no multiple of a batch of 16
    widths = {p: 16 for p in signature if p.endswith("_dim")} | {p: n for p, n in sizes.items() if p in signature}
    if name.endswith(
        "DINO"
    ):  # with widths of 16 its head begins so small that a few steps of this size make it constant
        widths["head_norm"] = True
    optim = OptimConfig(name="sgd", base_lr=0.5, weight_decay=1e-4, warmup_epochs=0)
    torch.manual_seed(0)
    return METHODS[name](**{"backbone": "tiny_resnet", "backbone_args": {"width": 4}, "optim": optim, **widths, **args})


def views_of(name: str) -> int | tuple[int, int]:
    """How many views to draw for a method: more global ones where it takes more, local ones where it takes them."""
    needs = METHODS[name].needs
    n = needs.global_views + needs.or_more
    return (n, 2) if needs.local_views else n


@contextmanager
def unchanged(method: Method) -> Iterator[Method]:
    """The method within; after it queues, centres and running statistics are as they were."""
    buffers = {key: buffer.clone() for key, buffer in method.named_buffers()}
    try:
        yield method
    finally:
        for key, buffer in method.named_buffers():
            buffer.copy_(buffers[key])


def loss_of(method: Method, batch: Batch) -> torch.Tensor:
    """The loss of a batch; the state of the method stays as it was."""
    with unchanged(method):
        return method.loss(batch)


def trainer(epochs: int = 1, **args) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(max_epochs=epochs, **{**quiet, "enable_checkpointing": False, **args})


class SaveEachEpoch(pl.Callback):
    """Checkpoints 0.ckpt, 1.ckpt, ... at the ends of epochs; without the bookkeeping of Lightning's ModelCheckpoint."""

    def __init__(self, folder: Path):
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, *_) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.current_epoch}.ckpt", weights_only=False)


def same_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether all parameters and buffers are equal to the bit."""
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
