"""Overhead: the share of a training step's time that is spent outside the backbone.

A step is Lightning's whole one: forward, loss, backward, optimiser, target, logging; not the loader. Beside each step
the calls that it made of the backbones (the online one with gradient, the target's without) are made again on the same
views, with a backward of the online ones, and nothing else; step and backbones alternate, and the overhead is the
median over pairs of 1 - backbones / step. Heads, optimiser and target are the method's own and so part of the overhead;
what they cost by the step and not by the image weighs less in a larger batch.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.bench.timing import median
from massrl.methods import METHODS, Method
from massrl.training.fit import quiet

SIZE, LOCAL_SIZE = 32, 16  # pixels
BATCH = {"cuda": 256, "cpu": 16}  # on a CPU a step of 256 images takes a minute
UNTIMED, ROUNDS = 1, {"cuda": 50, "cpu": 5}
CLASSES = 10
WIDEST = 2048  # of a head, as is usual on small images; some papers have 8192, and 65536 prototypes, on large ones


@dataclass(frozen=True)
class Overhead:
    """share: median, in 0..1, and its 95 % interval over rounds.  step_ms: median time of a step; of the process's
    processors where there is no GPU, so that others on the machine do not count."""

    share: float
    low: float
    high: float
    step_ms: float
    batch: int
    views: tuple[int, int]
    device: str

    def as_json(self) -> dict[str, Any]:
        return {
            "step_overhead": self.share,
            "step_overhead_interval": [self.low, self.high],
            "step_ms": self.step_ms,
            "overhead_batch": self.batch,
            "overhead_views": {"global": self.views[0], "local": self.views[1], "size": SIZE},
            "overhead_device": self.device,
            "overhead_precision": "float32",
            "overhead_widest_head": WIDEST,
        }


def measure(name: str, batch: int | None = None, rounds: int | None = None, **init_args: Any) -> Overhead:
    """Of a method on a ResNet-18 with the stem for small images, on drawn views of 32 pixels, in float32.

    Its arguments are the defaults, but no width of a head is above 2048. As many global views as the method needs,
    and two local ones where it takes such.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch, rounds = batch or BATCH[device], rounds or ROUNDS[device]
    torch.manual_seed(0)
    method = METHODS[name](**{"backbone": "resnet18", "backbone_args": {"stem": "cifar"}, **widths(name), **init_args})
    views = (method.needs.global_views, 2 if method.needs.local_views else 0)
    clock = Clock(rounds, device)
    with quiet(everything=True):
        trainer = pl.Trainer(
            max_epochs=1,
            callbacks=[clock],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
        )
        trainer.fit(method, Same(drawn(batch, *views), UNTIMED + rounds))
    step, alone = (np.array(seconds[UNTIMED:]) for seconds in (clock.step, clock.alone))
    share, low, high = median(1 - alone / step)
    where = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return Overhead(share, low, high, 1e3 * float(np.median(step)), batch, views, where)


def widths(name: str) -> dict[str, int]:
    """The widths of a method's heads that are above WIDEST, cut to it."""
    parameters = inspect.signature(METHODS[name].__init__).parameters
    return {k: WIDEST for k, p in parameters.items() if k.endswith("_dim") and (p.default or 0) > WIDEST}


def drawn(images: int, views: int, local: int) -> Batch:
    g = torch.Generator().manual_seed(0)
    sides = [SIZE] * views + [LOCAL_SIZE] * local
    return Batch.from_views(
        [torch.randn(images, 3, side, side, generator=g) for side in sides], labels=torch.arange(images) % CLASSES
    )


class Same:
    """A loader that gives one batch `steps` times: no time goes into making it."""

    def __init__(self, batch: Batch, steps: int):
        self.batch, self.steps, self.batch_size = batch, steps, len(batch)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch for _ in range(self.steps))


class Clock(pl.Callback):
    """Times each step, then the backbones' part of it."""

    def __init__(self, rounds: int, device: str):
        self.step: list[float] = []
        self.alone: list[float] = []
        self.gpu = device == "cuda"

    def now(self) -> float:
        if self.gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Method) -> None:
        self.calls = Calls(*pl_module._backbones())

    def on_train_batch_start(self, *_: Any) -> None:
        self.calls.forget()
        self.recording = self.calls.recorded()
        self.recording.__enter__()
        self.begun = self.now()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Method, *_: Any) -> None:
        self.step.append(self.now() - self.begun)
        self.recording.__exit__(None, None, None)
        pl_module.zero_grad()  # as before the step: adding to gradients takes longer
        begun = self.now()
        self.calls.again()
        self.alone.append(self.now() - begun)
        pl_module.zero_grad()


class Calls:
    """The calls that a step makes of some modules: which one, on what, with gradient or without."""

    def __init__(self, *modules: nn.Module):
        self.modules = modules
        self.made: list[tuple[nn.Module, Tensor, bool]] = []

    def forget(self) -> None:
        self.made.clear()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in self.modules:
                stack.callback(module.register_forward_pre_hook(self._note).remove)
            yield

    def _note(self, module: nn.Module, args: tuple[Tensor]) -> None:
        self.made.append((module, args[0].detach(), torch.is_grad_enabled()))

    def again(self) -> None:
        """All of them, and a backward through those with gradient."""
        out = []
        for module, x, learns in self.made:
            with torch.set_grad_enabled(learns):
                h = module(x)
            if learns:
                out.append(h)
        torch.autograd.backward(out, [torch.ones_like(h) for h in out])
