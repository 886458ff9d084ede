"""Overhead: the share of a training step's time outside the forward and backward of the backbone.

A step is a whole Lightning step (forward, loss, backward, optimiser, target network, logging) without the loader. After
each step its calls of the backbones (online with gradient, target without) are repeated on the same views, with one
backward through the online ones, and timed. The overhead is the median over steps of 1 - backbones / step. It contains
the method's heads, optimiser and target update; their cost per step, unlike that per image, weighs less in a larger
batch.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.batch import Batch
from data_loading.bench.timing import median
from data_loading.config.lightning_package import pl
from massrl.methods import METHODS, Method
from massrl.methods.training import backbones_of
from massrl.runs.quiet import quiet

SIZE, LOCAL_SIZE = 32, 16  # pixels
BATCH = {"cuda": 256, "cpu": 16}  # images per step; 256 take a minute on a CPU
UNTIMED, ROUNDS = 1, {"cuda": 50, "cpu": 5}
CLASSES = 10
WIDEST = (
    2048  # largest width of a head, usual for small images; some papers have 8192, and 65536 prototypes, on ImageNet
)


@dataclass(frozen=True)
class Overhead:
    """Overhead of one method.

    share: median in 0..1; low, high: its 95 % interval over steps.  step_ms: median time of a step, milliseconds: wall
    time on a GPU, CPU time of the process otherwise, which other processes do not disturb.  batch: images per step.
    views: number of (global, local) views.
    """

    share: float
    low: float
    high: float
    step_ms: float
    batch: int
    views: tuple[int, int]
    device: str

    def as_json(self) -> dict[str, Any]:
        """The result and its conditions as JSON values, under the keys of `massrl bench methods --json`."""
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
    """Measure the overhead of a method with a ResNet-18 (stem for small images) on random views of 32 pixels, float32.

    batch: images per step.  rounds: timed steps.  init_args: arguments of the method; by default its own, except that
    no head is wider than 2048. The step has the number of global views that the method needs, and two local views if
    it takes any.
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
        trainer.fit(method, Repeated(random_batch(batch, *views), UNTIMED + rounds))
    step, alone = (np.array(seconds[UNTIMED:]) for seconds in (clock.step, clock.alone))
    share, low, high = median(1 - alone / step)
    where = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    return Overhead(share, low, high, 1e3 * float(np.median(step)), batch, views, where)


def widths(name: str) -> dict[str, int]:
    """{argument: WIDEST} for the head widths of a method whose defaults are above WIDEST."""
    parameters = inspect.signature(METHODS[name].__init__).parameters
    return {k: WIDEST for k, p in parameters.items() if k.endswith("_dim") and (p.default or 0) > WIDEST}


def random_batch(images: int, views: int, local: int) -> Batch:
    """A batch of normal noise with `views` global and `local` local views of each image, and labels in 0..9."""
    g = torch.Generator().manual_seed(0)
    sides = [SIZE] * views + [LOCAL_SIZE] * local
    return Batch.from_views(
        [torch.randn(images, 3, side, side, generator=g) for side in sides], labels=torch.arange(images) % CLASSES
    )


class Repeated:
    """A loader that yields one batch `steps` times, so that loading takes no time."""

    def __init__(self, batch: Batch, steps: int):
        self.batch, self.steps, self.batch_size = batch, steps, len(batch)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch for _ in range(self.steps))


class Clock(pl.Callback):
    """Times each step, and then the calls of the backbones in that step."""

    def __init__(self, rounds: int, device: str):
        self.step: list[float] = []
        self.alone: list[float] = []
        self.gpu = device == "cuda"

    def now(self) -> float:
        """Seconds: wall time after synchronising the GPU, or CPU time of the process."""
        if self.gpu:
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Method) -> None:
        self.calls = Calls(*backbones_of(pl_module))

    def on_train_batch_start(self, *_: Any) -> None:
        self.calls.forget()
        self.recording = self.calls.recorded()
        self.recording.__enter__()
        self.begun = self.now()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Method, *_: Any) -> None:
        self.step.append(self.now() - self.begun)
        self.recording.__exit__(None, None, None)
        pl_module.zero_grad()  # as before the step: accumulating into gradients takes longer
        begun = self.now()
        self.calls.again()
        self.alone.append(self.now() - begun)
        pl_module.zero_grad()


class Calls:
    """Records the calls of some modules (module, input, whether gradients are enabled) and repeats them."""

    def __init__(self, *modules: nn.Module):
        self.modules = modules
        self.made: list[tuple[nn.Module, Tensor, bool]] = []

    def forget(self) -> None:
        """Delete the recorded calls."""
        self.made.clear()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Context in which calls are recorded."""
        with ExitStack() as stack:
            for module in self.modules:
                stack.callback(module.register_forward_pre_hook(self._note).remove)
            yield

    def _note(self, module: nn.Module, args: tuple[Tensor]) -> None:
        self.made.append((module, args[0].detach(), torch.is_grad_enabled()))

    def again(self) -> None:
        """Repeat all recorded calls, and one backward through those that had gradients enabled."""
        out = []
        for module, x, learns in self.made:
            with torch.set_grad_enabled(learns):
                h = module(x)
            if learns:
                out.append(h)
        torch.autograd.backward(out, [torch.ones_like(h) for h in out])
