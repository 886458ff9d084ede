"""Plan: what a long run will take, from 20 steps that are measured here: hours, memory, disk, and what limits it."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import torch
from torch import Tensor

from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.config.lightning_package import pl
from data_loading.config.memory import free_memory
from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from data_loading.views import growing
from massrl.methods import Method
from massrl.runs.quiet import quiet
from massrl.runs.trainer import make_trainer
from massrl.training.global_batch import check_accumulation, share
from massrl.training.length import STEPS, WARM, Clock, short_fit
from massrl.training.settings import Settings

SMALLEST = 2  # images of a batch: BatchNorm needs two
DEVICES = (1, 2, 4, 8, 16)  # numbers of devices on a node to compare
KEPT = 3  # checkpoints that are on the disk at most: the newest, the one before, and one that is being written
CLEARLY = 1.1  # a rate counts as lower than another if it is lower by this factor


@dataclass(frozen=True)
class Rates:
    """Images per second of one process.

    images: of a batch.  loader: the loader alone.  loader_all: the loader alone with a thread per core.  training:
    steps on batches that are in memory.  together: the run as it is.
    """

    images: int
    loader: float
    loader_all: float
    training: float
    together: float


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    method, device, threads, precision: what was measured.  images: of the data set.  batch: images per process.
    accumulate: batches of an optimiser step.  nodes, devices: of each node.  epochs: None where `steps` optimiser steps
    are the length.  state, activations, views: bytes on a device: weights, target, gradients and optimiser; what a
    batch keeps for its backward; the batch itself.  peak: bytes measured on a GPU in batches of `rates.images`; None on
    a CPU.  memory: bytes that the device has; None if unknown.  checkpoint: bytes of a file.  free: bytes on the disk
    of the run folder.
    """

    method: str
    device: str
    precision: str
    threads: int
    cores: int
    images: int
    batch: int
    accumulate: int
    nodes: int
    devices: int
    epochs: int | None
    steps: int
    views: int
    state: int
    activations: int
    peak: int | None
    memory: int | None
    checkpoint: int
    free: int
    rates: Rates

    @property
    def on_gpu(self) -> bool:
        return self.device != "CPU"

    @property
    def global_batch(self) -> int:
        """Images of an optimiser step."""
        return self.batch * self.accumulate * self.devices * self.nodes

    @property
    def needed(self) -> int:
        """Bytes that a device needs at least: what is counted, scaled to the run's batch, or what was measured."""
        counted = self.state + self.activations + self.views
        if self.peak is None:
            return counted
        measured = self.state + (self.peak - self.state) * self.batch // self.rates.images
        return max(counted, measured)

    @property
    def fits(self) -> bool | None:
        """Whether the device has that memory; None if unknown."""
        return None if self.memory is None else self.needed <= self.memory

    def rate(self, devices: int) -> float:
        """Images per second of a node with that many devices; communication is not counted."""
        if not self.on_gpu or devices == 1:
            return self.rates.together
        return min(devices * self.rates.training, self.rates.loader_all)

    def hours(self, devices: int | None = None) -> float:
        """Hours of training on each node's `devices`, by default the run's, for as many images as the run takes."""
        images = self.steps * self.global_batch
        return images / (self.rate(self.devices if devices is None else devices) * self.nodes) / 3600

    @property
    def bottleneck(self) -> str:
        """ "training", "loader", or "both", where they are as fast as each other."""
        training = self.rates.training * (self.devices if self.on_gpu else 1)
        loader = self.rates.loader if self.devices == 1 else self.rates.loader_all
        if loader * CLEARLY < training:
            return "loader"
        return "training" if training * CLEARLY < loader else "both"

    def as_json(self) -> dict[str, Any]:
        """All facts and what follows from them, as JSON values."""
        names = ("global_batch", "needed", "fits", "bottleneck")
        more = {name: getattr(self, name) for name in names}
        table = {str(n): {"images_per_s": self.rate(n) * self.nodes, "hours": self.hours(n)} for n in DEVICES}
        return {**asdict(self), **more, "hours": self.hours(), **({"by_devices": table} if self.on_gpu else {})}


def make_plan(settings: Settings, images: int | None = None, seconds: float = 60.0) -> Plan:
    """Measure a run of these settings on one device of this machine; nothing is kept.

    Args:
        settings: of `massrl pretrain`.
        images: of the data set, where data.train is a sample of it; None: those of data.train.
        seconds: that each of the three measurements may take at most, after its first steps.

    Raises ConfigError where the length is open, and what a run itself would raise.
    """
    method, data, arguments = settings.method, settings.data, dict(settings.trainer_args)
    if not 0 < seconds < 1e6:
        raise ConfigError(f"--seconds is {seconds:g}; it must be more than 0")
    if images is not None and images < 1:
        raise ConfigError(f"--images is {images}; it must be at least 1")
    with quiet():
        nodes, devices = _processes(arguments)
        _share_batch(settings, arguments, nodes * devices)
        if isinstance(data.size, dict):
            data.size = max(size or 0 for size in growing.by_epoch(data.size).values())  # of views that grow
        data.view_set = data.resolve(method)
        method.check(data.view_set)
        data.prepare_data()
        with Reader(data.file()) as reader:
            stored = len(reader)
        epochs, steps = _length(arguments, images or stored, data.batch_size * devices * nodes)
        first = _first_step(method, data, arguments)
        device, memory = _device(first.device)
        batch = _largest_batch(data.batch_size, stored, first, memory, seconds)
        rates, peak = _rates(method, data, arguments, batch, seconds)
    pixels = sum(view.size**2 for view in data.view_set.views)
    return Plan(
        method=f"{type(method).__name__}, {len(data.view_set)} views of {data.view_set.size} px",
        device=device,
        precision=str(arguments.get("precision") or "32-true"),
        threads=data.options["num_workers"],
        cores=_cores(),
        images=images or stored,
        batch=data.batch_size,
        accumulate=arguments.get("accumulate_grad_batches") or 1,
        nodes=nodes,
        devices=devices,
        epochs=epochs,
        steps=steps,
        views=data.batch_size * pixels * 3 * (1 if data.options["dtype"] == "uint8" else 4),
        state=first.state,
        activations=first.saved * data.batch_size // first.images,
        peak=peak,
        memory=memory,
        checkpoint=first.checkpoint,
        free=shutil.disk_usage(_there(Path(settings.config.run or "runs"))).free,
        rates=rates,
    )


def _share_batch(settings: Settings, arguments: dict[str, Any], world: int) -> None:
    """Images per process and accumulation of --global_batch, as the run will have them."""
    total = settings.config.global_batch
    if total is None:
        return
    images, parts = share(total, settings.data.batch_size, world)
    check_accumulation(arguments.get("accumulate_grad_batches"), parts, images, world)
    settings.data.batch_size, arguments["accumulate_grad_batches"] = images, parts


@dataclass(frozen=True)
class _Step:
    """A step of `images` images: seconds; bytes kept for the backward, of the state and of a checkpoint; the device."""

    images: int
    seconds: float
    saved: int
    state: int
    checkpoint: int
    device: torch.device


class _Kept(pl.Callback):
    """Counts the bytes that the forward keeps for the backward; weights and buffers are not among them."""

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        own = {t.untyped_storage().data_ptr() for t in (*pl_module.parameters(), *pl_module.buffers())}
        self.found: dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                self.found[storage.data_ptr()] = storage.nbytes()
            return tensor

        self.hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
        self.hooks.__enter__()

    def on_before_backward(self, *_: Any) -> None:
        self.hooks.__exit__()

    @property
    def bytes(self) -> int:
        return sum(self.found.values())


class _Counted(pl.plugins.TorchCheckpointIO):
    """Counts the bytes of a checkpoint in place of writing it."""

    written = 0  # bytes

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        torch.save(checkpoint, cast(IO[bytes], self))

    def write(self, part: bytes) -> int:
        self.written += len(part)
        return len(part)

    def flush(self) -> None:
        """Nothing is kept."""


class _Repeated:
    """A loader that yields batches again and again, so that loading takes no time."""

    def __init__(self, batches: list[Batch], count: int):
        self.batches, self.count, self.batch_size = batches, count, len(batches[0])

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        return (self.batches[i % len(self.batches)] for i in range(self.count))


def _processes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """(nodes, devices of each node): numbers that this machine need not have."""
    nodes, devices = arguments.get("num_nodes") or 1, arguments.get("devices")
    if isinstance(devices, list):
        return nodes, len(devices)
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    if isinstance(devices, int) and devices > 0:
        return nodes, devices
    found = make_trainer(accelerator=arguments.get("accelerator") or "auto", devices=devices or "auto", logger=False)
    return nodes, found.num_devices


def _length(arguments: Mapping[str, Any], images: int, global_batch: int) -> tuple[int | None, int]:
    """(epochs, optimiser steps) of the run."""
    batches, accumulate = images // global_batch, arguments.get("accumulate_grad_batches") or 1
    cut = arguments.get("limit_train_batches")
    if cut is not None:
        batches = min(batches, cut if isinstance(cut, int) else int(batches * cut))
    if batches < 1:
        raise ConfigError(f"{images:,} images are fewer than one global batch of {global_batch:,}; take a smaller one")
    epochs, steps = arguments.get("max_epochs"), arguments.get("max_steps") or -1
    of_epoch = -(-batches // accumulate)
    if steps > 0 and (epochs in (None, -1) or steps <= epochs * of_epoch):
        return None, steps
    if epochs is None or epochs < 1:
        raise ConfigError("the length is open, so that it takes --minutes; set --trainer.max_epochs or max_steps")
    return epochs, epochs * of_epoch


def _first_step(method: Method, data: BetonDataModule, arguments: dict[str, Any]) -> _Step:
    """Two steps of the smallest batch: what they keep, and how long the second takes."""
    kept, counted, clock = _Kept(), _Counted(), Clock(1e9)
    batches = _batches(data, SMALLEST, 2)
    trainer = short_fit(
        method, _Repeated(batches, 2), {**arguments, **_SHORT, "max_steps": 2}, kept, clock, plugins=[counted]
    )
    module: Any = trainer.lightning_module
    trainer.save_checkpoint("nowhere", weights_only=False)
    state = [*module.parameters(), *module.buffers(), *_tensors(trainer.optimizers[0].state)]
    gradients = [p for p in module.parameters() if p.requires_grad]
    return _Step(
        images=SMALLEST,
        seconds=clock.ends[1] - clock.ends[0],
        saved=kept.bytes,
        state=sum(t.nbytes for t in (*state, *gradients)),
        checkpoint=counted.written,
        device=trainer.strategy.root_device,
    )


_SHORT = {
    "max_epochs": 1,
    "limit_train_batches": None,
    "accumulate_grad_batches": 1,
    "max_time": None,
    "min_steps": None,
}


def _tensors(states: Mapping[Any, Mapping[str, Any]]) -> list[Tensor]:
    return [value for state in states.values() for value in state.values() if isinstance(value, Tensor)]


def _device(device: torch.device) -> tuple[str, int | None]:
    """(name, bytes of memory that are free or can be) of what is measured."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory
    return ("CPU", free_memory()) if device.type == "cpu" else (device.type, None)


def _largest_batch(wanted: int, stored: int, step: _Step, memory: int | None, seconds: float) -> int:
    """Images of the batches to measure: as many as the run has, if they are there, fit, and take no longer."""
    most = min(wanted, stored)
    if memory is not None and step.saved:
        most = min(most, int((0.5 * memory - step.state) / (step.saved / step.images)))
    if step.device.type == "cpu":
        most = min(most, int(seconds / STEPS / (step.seconds / step.images)))
    return max(SMALLEST, most)


def _batches(data: BetonDataModule, images: int, count: int) -> list[Batch]:
    found: list[Batch] = []
    loader = _loader(data, images, data.options["num_workers"])
    while len(found) < count:
        found += list(islice(iter(loader), count - len(found)))
    return found


def _loader(data: BetonDataModule, images: int, threads: int) -> Any:
    """The run's training loader for other batches and threads."""
    other = copy.deepcopy(data)
    other.trainer, other.batch_size = None, images
    other.options = {**other.options, "num_workers": threads}
    return other.train_dataloader()


def _rates(
    method: Method, data: BetonDataModule, arguments: dict[str, Any], images: int, seconds: float
) -> tuple[Rates, int | None]:
    """Images per second, and the peak of a GPU's memory in bytes."""
    threads, cores = data.options["num_workers"], _cores()
    loader = _loading(_loader(data, images, threads), seconds)
    loader_all = loader if threads == cores else _loading(_loader(data, images, cores), seconds)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    alone, both = Clock(seconds), Clock(seconds)
    settings = {**arguments, **_SHORT}
    short_fit(method, _Repeated(_batches(data, images, 2), STEPS), settings, alone)
    other = copy.deepcopy(data)
    other.batch_size = images
    short_fit(method, other, {**settings, "max_epochs": STEPS}, both)
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    found = Rates(images, loader, loader_all, images / alone.step, images / both.step)
    return found, peak


def _loading(loader: Any, seconds: float) -> float:
    """Images per second of a loader that nobody else waits for."""
    begun, batches = time.perf_counter(), 0
    started = begun
    while batches < STEPS and (batches < WARM + 1 or time.perf_counter() - started < seconds):
        for _ in loader:
            batches += 1
            if batches == WARM:
                begun = time.perf_counter()
            if batches >= STEPS or (batches > WARM and time.perf_counter() - started > seconds):
                break
    return (batches - WARM) * loader.batch_size / (time.perf_counter() - begun)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _there(path: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
