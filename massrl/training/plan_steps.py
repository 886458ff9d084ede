"""Steps that `massrl plan` measures: bytes of the smallest batches, and images per second."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.config.lightning_package import pl
from data_loading.config.memory import free_memory
from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from data_loading.loading.loader import Loader
from massrl.methods import Method
from massrl.training.length import STEPS, WARM, Clock, short_fit

SMALLEST = 2  # images of a batch: BatchNorm needs two
USABLE = {"cuda": 0.9, "cpu": 0.5}  # share of free memory that measuring may take
# Arguments of the run's Trainer that are other ones in measurements.
SHORT: dict[str, Any] = {
    "max_epochs": 1,
    "max_steps": -1,
    "max_time": None,
    "min_epochs": None,
    "min_steps": None,
    "limit_train_batches": None,
    "overfit_batches": 0.0,
    "accumulate_grad_batches": 1,
}


@dataclass(frozen=True)
class Rates:
    """Images per second of one process.

    images: of a batch.  loader: the loader alone.  loader_all: the loader alone with a thread per core.  training:
    steps on batches in memory.  together: steps on batches from the loader, with all callbacks of a run.
    """

    images: int
    loader: float
    loader_all: float
    training: float
    together: float


@dataclass(frozen=True)
class SmallestSteps:
    """Steps of the smallest batches: seconds of an image; the device; bytes, as those of a Plan."""

    seconds_per_image: float
    device: torch.device
    kept: int
    kept_per_image: int
    view_bytes: int
    state: int
    checkpoint: int


class SavedForBackward(pl.Callback):
    """Counts the bytes that the forward of each step keeps for the backward, without weights, buffers and views."""

    hooks: Any = None
    found: dict[int, int]  # bytes by address

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, *_: Any) -> None:
        views = batch.views if isinstance(batch, Batch) else []
        own = {t.untyped_storage().data_ptr() for t in (*pl_module.parameters(), *pl_module.buffers(), *views)}
        self.found = found = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                found[storage.data_ptr()] = storage.nbytes()
            return tensor

        self.hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
        self.hooks.__enter__()

    def on_before_backward(self, *_: Any) -> None:
        self._end()

    def on_train_batch_end(self, *_: Any) -> None:
        self._end()

    def on_exception(self, *_: Any) -> None:
        self._end()

    def _end(self) -> None:
        if self.hooks is not None:
            self.hooks.__exit__()
        self.hooks = None

    @property
    def bytes(self) -> int:
        return sum(self.found.values())


class CheckpointSize(pl.plugins.TorchCheckpointIO):
    """Counts the bytes of a checkpoint in place of writing it."""

    written = 0  # bytes

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        torch.save(checkpoint, cast(IO[bytes], self))

    def write(self, part: bytes) -> int:
        self.written += len(part)
        return len(part)

    def flush(self) -> None:
        """Nothing is kept."""


class Repeated:
    """A loader that yields the first two batches of another again and again, so that loading takes no time."""

    def __init__(self, loader: Loader, count: int):
        self.batches: list[Batch] = []
        while len(self.batches) < 2:
            self.batches += list(islice(iter(loader), 2 - len(self.batches)))
        self.count, self.batch_size, self.reader = count, loader.batch_size, loader.reader

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        return (self.batches[i % len(self.batches)] for i in range(self.count))


def smallest_steps(method: Method, data: BetonDataModule, arguments: dict[str, Any], stored: int) -> SmallestSteps:
    """Steps of two and of four images, from which bytes per batch and per image follow."""
    sizes = [n for n in (SMALLEST, 2 * SMALLEST) if n <= max(SMALLEST, stored)]
    found = [_steps(method, data, arguments, images) for images in sizes]
    (small, first), (large, last) = found[0], found[-1]
    per_image = (large - small) // (sizes[-1] - sizes[0]) if len(sizes) > 1 else small // SMALLEST
    return SmallestSteps(
        seconds_per_image=last["seconds"] / sizes[-1],
        device=last["device"],
        kept=max(0, small - per_image * SMALLEST),
        kept_per_image=per_image,
        view_bytes=first["views"] // SMALLEST,
        state=first["state"],
        checkpoint=first["checkpoint"],
    )


def _steps(method: Method, data: BetonDataModule, arguments: dict[str, Any], images: int) -> tuple[int, dict[str, Any]]:
    """(bytes kept for the backward, what else two steps of a batch show)."""
    saved, size, clock = SavedForBackward(), CheckpointSize(), Clock(1e9)
    batches = Repeated(loader_of(data, images), 2)
    settings = {**arguments, **SHORT, "max_steps": 2, "plugins": [size]}
    try:
        trainer = short_fit(method, batches, settings, saved, clock)
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        raise ConfigError(f"{images} images do not fit into memory; take smaller views or networks") from error
    trainer.save_checkpoint("nowhere", weights_only=False)
    module: Any = trainer.lightning_module
    trained = [p for p in module.parameters() if p.requires_grad]
    own = [*module.parameters(), *module.buffers(), *trained]  # a gradient is as large as its parameter
    optimiser, missing = _optimiser_bytes(trainer.optimizers)
    return saved.bytes, {
        "seconds": clock.ends[-1] - clock.ends[-2],
        "device": trainer.strategy.root_device,
        "views": sum(view.nbytes for view in batches.batches[0].views),
        "state": sum(t.nbytes for t in own) + optimiser + missing,
        "checkpoint": size.written + missing,
    }


def _optimiser_bytes(optimisers: list[Any]) -> tuple[int, int]:
    """(bytes of the optimisers' states, those of parameters that are frozen at first and have none yet)."""
    there, missing = 0, 0
    for optimiser in optimisers:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        sizes = {p: _state_bytes(optimiser.state.get(p, {})) for p in parameters}
        there += sum(sizes.values())
        known = sum(p.nbytes for p, size in sizes.items() if size)
        late = sum(p.nbytes for p, size in sizes.items() if not size)
        missing += late * sum(sizes.values()) // known if known else 0
    return there, missing


def _state_bytes(state: Mapping[str, Any]) -> int:
    return sum(value.nbytes for value in state.values() if isinstance(value, Tensor))


def device_of(device: torch.device) -> tuple[str, int | None]:
    """(name, bytes of free memory) of what is measured."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        return torch.cuda.get_device_name(device), free
    return ("CPU", free_memory()) if device.type == "cpu" else (device.type, None)


def largest_batch(wanted: int, stored: int, step: SmallestSteps, memory: int | None, seconds: float) -> int:
    """Images of the batches to measure: as many as the run has, if they exist, fit, and take no longer."""
    most = min(wanted, stored)
    per_image = step.kept_per_image + step.view_bytes
    if memory is not None and per_image:
        most = min(most, int((USABLE.get(step.device.type, 0.5) * memory - step.state - step.kept) / per_image))
    if step.device.type == "cpu":
        most = min(most, int(seconds / STEPS / step.seconds_per_image))
    return max(SMALLEST, most)


def loader_of(data: BetonDataModule, images: int, threads: int | None = None) -> Loader:
    """The run's training loader for other batches, and maybe threads."""
    other = copy.deepcopy(data)
    other.trainer, other.batch_size = None, images
    other.options = {**other.options, **({} if threads is None else {"num_workers": threads})}
    return other.train_dataloader()


def rates_of(
    method: Method, data: BetonDataModule, arguments: dict[str, Any], images: int, seconds: float
) -> tuple[Rates, int | None]:
    """Images per second, and the peak of a GPU's memory in bytes; batches that do not fit are halved."""
    threads, cores = data.options["num_workers"], cores_here()
    try:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        alone, both = Clock(seconds), Clock(seconds)
        settings = {**arguments, **SHORT}
        trainer = short_fit(method, Repeated(loader_of(data, images), STEPS), settings, alone)
        other = copy.deepcopy(data)
        other.batch_size = images
        short_fit(method, other, {**settings, "max_epochs": STEPS}, both)
        device = trainer.strategy.root_device
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error) or images < 2 * SMALLEST:
            raise
        smaller = images // 2
    else:
        loader = _loading(loader_of(data, images, threads), seconds)
        loader_all = loader if threads == cores else _loading(loader_of(data, images, cores), seconds)
        return Rates(images, loader, loader_all, images / alone.step, images / both.step), peak
    return rates_of(method, data, arguments, smaller, seconds)


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _loading(loader: Loader, seconds: float) -> float:
    """Images per second of a loader that nobody else waits for."""
    started = begun = time.perf_counter()
    batches = 0
    while True:
        for _ in loader:
            batches += 1
            now = time.perf_counter()
            if batches == WARM:
                begun = now
            if batches >= STEPS or (batches > WARM and now - started > seconds):
                return (batches - WARM) * loader.batch_size / (now - begun)


def cores_here() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
