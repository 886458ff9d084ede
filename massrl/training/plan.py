"""Plan: what a long run will take, from 20 steps that are measured here: hours, memory, disk, and the bottleneck."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_loading.beton.reader import Reader
from data_loading.errors import ConfigError
from data_loading.loading.datamodule import BetonDataModule
from data_loading.views import growing
from massrl.callbacks import OnNaN
from massrl.runs.quiet import quiet
from massrl.runs.trainer import make_trainer
from massrl.training.global_batch import check_accumulation, share
from massrl.training.plan_steps import Rates, cores_here, device_of, largest_batch, rates_of, smallest_steps
from massrl.training.pretrain import callbacks_of_run, check_length, length_is_open
from massrl.training.settings import Settings

DEVICES = (1, 2, 4, 8, 16)  # numbers of devices on a node to compare
KEPT = 3  # checkpoints on the disk at most: the newest, the one before, and one that is being written
CLEARLY = 1.1  # a rate counts as lower than another if it is lower by this factor


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    method, device, precision, threads, cores: what was measured, and where.  images: of the data set.  batch: images
    per process at a time.  accumulate: batches of an optimiser step.  nodes, devices: of each node.  epochs: None where
    the number of optimiser steps is given.  steps: optimiser steps.  trained: images of all steps together.
    fixed_step: whether a step has as many images on any number of devices.
    In bytes: state, weights, target, gradients and optimiser; kept, what the forward keeps for the backward whatever
    the batch, and kept_per_image beside it; view_bytes, the views of an image; peak, measured on a GPU in batches of
    rates.images, None on a CPU; memory, of the device, None if unknown; checkpoint, of a file; free, on the disk.
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
    trained: int
    fixed_step: bool
    state: int
    kept: int
    kept_per_image: int
    view_bytes: int
    peak: int | None
    memory: int | None
    checkpoint: int
    free: int
    rates: Rates

    @property
    def on_gpu(self) -> bool:
        """Whether devices are GPUs, each with memory and time of its own; processes on a CPU share both."""
        return self.device != "CPU"

    @property
    def global_batch(self) -> int:
        """Images of an optimiser step."""
        return self.batch * self.accumulate * self.devices * self.nodes

    def needed_for(self, batch: int) -> int:
        """Bytes that a process needs for batches of that many images, counted, or measured and scaled."""
        per_image = self.kept_per_image + self.view_bytes
        if self.peak is not None:
            return self.peak + (batch - self.rates.images) * per_image
        return self.state + self.kept + batch * per_image

    @property
    def needed(self) -> int:
        """Bytes that a GPU needs; on a CPU those of all processes of a node."""
        return self.needed_for(self.batch) * (1 if self.on_gpu else self.devices)

    @property
    def fits(self) -> bool | None:
        """Whether there is as much memory; None if unknown."""
        return None if self.memory is None else self.needed <= self.memory

    def loader(self, devices: int) -> float:
        """Images per second of the loaders of a node's processes alone."""
        return self.rates.loader if devices == 1 else min(devices * self.rates.loader, self.rates.loader_all)

    def rate(self, devices: int) -> float:
        """Images per second of a node with that many devices; communication is not counted."""
        if not self.on_gpu or devices == 1:
            return self.rates.together
        return min(devices * self.rates.together, self.loader(devices))

    def hours(self, devices: int | None = None) -> float:
        """Hours of training on that many devices of each node, by default the run's."""
        devices = self.devices if devices is None else devices
        images = self.trained * devices / self.devices if self.epochs is None and not self.fixed_step else self.trained
        return images / (self.rate(devices) * self.nodes) / 3600

    def bottleneck(self, devices: int | None = None) -> str:
        """ "training", "loader", or "both", where they are about as fast; "processor" on a CPU, which they share."""
        devices = self.devices if devices is None else devices
        if not self.on_gpu:
            return "processor"
        training, loader = devices * self.rates.training, self.loader(devices)
        if loader * CLEARLY < training:
            return "loader"
        return "training" if training * CLEARLY < loader else "both"

    def as_json(self) -> dict[str, Any]:
        """All facts and what follows from them, as JSON values."""
        more: dict[str, Any] = {"global_batch": self.global_batch, "needed": self.needed, "fits": self.fits}
        more |= {"bottleneck": self.bottleneck(), "hours": self.hours()}
        if self.on_gpu:
            more["by_devices"] = {
                str(n): {"images_per_s": self.rate(n) * self.nodes, "hours": self.hours(n)} for n in DEVICES
            }
        return {**asdict(self), **more}


def make_plan(settings: Settings, images: int | None = None, seconds: float = 60.0) -> Plan:
    """Measure a run of these settings on one device of this machine; nothing is kept but the cache of a folder.

    Args:
        settings: of `massrl pretrain`.
        images: of the data set, where data.train is a sample of it; None: those of data.train.
        seconds: after which each of the four measurements ends, unless its 20 steps are done before.

    Raises ConfigError where the length is open, where not even two images fit, and what a run itself would raise.
    """
    method, data, arguments = settings.method, settings.data, dict(settings.trainer_args)
    if not 0 < seconds < 1e6:
        raise ConfigError(f"--seconds is {seconds:g}; it must be more than 0")
    if images is not None and images < 1:
        raise ConfigError(f"--images is {images}; it must be at least 1")
    _check_length(arguments)
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
        world = nodes * devices
        fixed = settings.config.global_batch is not None
        epochs, steps, trained = _length(arguments, data, images or stored, world, fixed)
        arguments["callbacks"] = [*callbacks_of_run(arguments), OnNaN(settings.config.on_nan)]
        step = smallest_steps(method, data, arguments, stored)
        name, memory = device_of(step.device)
        batch = largest_batch(data.batch_size, stored, step, memory, seconds)
        rates, peak = rates_of(method, data, arguments, batch, seconds)
    return Plan(
        method=f"{type(method).__name__}, {len(data.view_set)} views of {data.view_set.size} px",
        device=name,
        precision=str(arguments.get("precision") or "32-true"),
        threads=data.options["num_workers"],
        cores=cores_here(),
        images=images or stored,
        batch=data.batch_size,
        accumulate=arguments.get("accumulate_grad_batches") or 1,
        nodes=nodes,
        devices=devices,
        epochs=epochs,
        steps=steps,
        trained=trained,
        fixed_step=fixed,
        state=step.state,
        kept=step.kept,
        kept_per_image=step.kept_per_image,
        view_bytes=step.view_bytes,
        peak=peak,
        memory=memory,
        checkpoint=step.checkpoint,
        free=shutil.disk_usage(_existing(Path(settings.config.run or "runs"))).free,
        rates=rates,
    )


def _check_length(arguments: Mapping[str, Any]) -> None:
    if arguments.get("fast_dev_run"):
        raise ConfigError("--trainer.fast_dev_run is a trial of a few steps, which needs no plan; leave it out")
    if length_is_open(arguments):
        raise ConfigError(
            "the length is open, so that the run takes --minutes or --trainer.max_time; to plan, set "
            "--trainer.max_epochs or --trainer.max_steps"
        )
    check_length(arguments)


def _processes(arguments: Mapping[str, Any]) -> tuple[int, int]:
    """(nodes, devices of each node); this machine need not have them."""
    nodes, devices = arguments.get("num_nodes") or 1, arguments.get("devices")
    if isinstance(devices, list):
        return nodes, len(devices)
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    if isinstance(devices, int) and devices > 0:
        return nodes, devices
    accelerator = arguments.get("accelerator") or "auto"
    found = make_trainer(accelerator=accelerator, devices="auto" if devices is None else devices, logger=False)
    return nodes, found.num_devices


def _share_batch(settings: Settings, arguments: dict[str, Any], world: int) -> None:
    """Images per process and accumulation of --global_batch, as the run will have them."""
    total = settings.config.global_batch
    if total is None:
        return
    images, parts = share(total, settings.data.batch_size, world)
    check_accumulation(arguments.get("accumulate_grad_batches"), parts, images, world)
    settings.data.batch_size, arguments["accumulate_grad_batches"] = images, parts


def _length(
    arguments: Mapping[str, Any], data: BetonDataModule, images: int, world: int, whole_steps: bool
) -> tuple[int | None, int, int]:
    """(epochs, optimiser steps, images of all steps) of the run.

    whole_steps: an epoch ends with its last whole global batch, else with a smaller step.
    """
    together, parts = data.batch_size * world, arguments.get("accumulate_grad_batches") or 1
    batches = -(-images // together) if data.order == "sequential" else images // together
    cut = arguments.get("overfit_batches") or arguments.get("limit_train_batches")
    if cut is not None:
        batches = min(batches, cut if isinstance(cut, int) else max(1, int(batches * cut)))
    if whole_steps:
        batches = batches // parts * parts
    if batches < 1:
        raise ConfigError(
            f"{images:,} images are fewer than one global batch of {together * (parts if whole_steps else 1):,}; "
            "choose a smaller one"
        )
    epochs, steps = arguments.get("max_epochs"), arguments.get("max_steps") or -1
    of_epoch = -(-batches // parts)
    if steps > 0 and (epochs in (None, -1) or steps <= epochs * of_epoch):
        return None, steps, round(steps / of_epoch * batches * together)
    assert epochs is not None  # else the length is open
    return epochs, epochs * of_epoch, epochs * batches * together


def _existing(path: Path) -> Path:
    """A folder, or the nearest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
