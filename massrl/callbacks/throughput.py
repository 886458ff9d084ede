"""Throughput: images per second, the share of the time that training waits for data, and memory."""

from __future__ import annotations

import logging
import os
import resource
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_loading.batch import Batch
from data_loading.beton.reader import Reader
from data_loading.config.lightning_package import pl
from data_loading.decode import RAW
from data_loading.errors import one_line
from data_loading.loading.loader import Loader

# Columns of metrics.csv that tell of the machine: they differ between runs that are equal in all else.
MACHINE = ("images_per_s", "data_wait", "memory_gib")
WAITS = 0.2  # share of the time from which on data are the bottleneck
IN_A_ROW = 50  # steps for which it must be that
# A warning's level, so that it is seen where messages are suppressed, but without the place in the code.
warn = pl.utilities.rank_zero_only(logging.getLogger(f"{pl.__name__}.utilities.rank_zero").warning)


class Throughput(pl.Callback):
    """Log how the machine is used: `images_per_s`, `data_wait` and `memory_gib`.

    `images_per_s`: images (not views) per second of all processes, loading and training together, smoothed.
    `data_wait`: the share of that time, from 0 to 1, in which this process waits for its next batch; only of a `Loader`
    of this package, which counts it. `memory_gib`: on a GPU the most that torch has allocated there so far, else the
    resident memory of this process, without mapped files.

    The first `skip` steps of a run, in which code is compiled, validation, and the pauses between epochs do not count.
    Where data_wait is above 0.2 for 50 steps in a row, data are the bottleneck, which is said once, with what to do. A
    value is what the clock says on the CPU: nothing here waits for a device.

    Args:
        smoothing: weight of the earlier steps in the exponential moving average, from 0 to below 1.
        skip: steps at the start of a run that do not count.
    """

    def __init__(self, smoothing: float = 0.95, skip: int = 3):
        self.smoothing, self.skip = smoothing, skip
        self.on_fit_start()

    def on_fit_start(self, *_: Any) -> None:
        if torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()  # of an earlier fit of this process
        self.steps, self.images, self.seconds, self.waited = 0, 0.0, 0.0, 0.0
        self.last: tuple[float, float] | None = None  # clock, and seconds waited for data, at the end of the last step
        self.slow = 0  # steps in a row in which data were the bottleneck
        self.advice: str | None = None  # what was said

    def on_train_epoch_start(self, *_: Any) -> None:
        self.last = None

    def on_validation_end(self, *_: Any) -> None:
        self.last = None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        loader = trainer.train_dataloader
        waited = loader.waited_s if isinstance(loader, Loader) else 0.0
        now, before = (time.perf_counter(), waited), self.last
        self.last, self.steps = now, self.steps + 1
        if _logs(trainer):
            pl_module.log("memory_gib", memory(pl_module.device) / 2**30, batch_size=1)
        if before is None or self.steps <= self.skip:
            return
        # Images and seconds are smoothed alike, and then divided: slow steps count by how long they took.
        self.images = self.smoothing * self.images + len(batch) * trainer.world_size
        self.seconds = self.smoothing * self.seconds + now[0] - before[0]
        pl_module.log("images_per_s", self.images / self.seconds, prog_bar=True, batch_size=1)
        if isinstance(loader, Loader):
            self.waited = self.smoothing * self.waited + now[1] - before[1]
            share = self.waited / self.seconds
            if _logs(trainer):
                pl_module.log("data_wait", share, batch_size=1)
            self._judge(share, trainer, loader)

    def _judge(self, share: float, trainer: pl.Trainer, loader: Loader) -> None:
        """Say once that data are the bottleneck, when they have been for long enough."""
        self.slow = self.slow + 1 if share > WAITS else 0
        if self.slow == IN_A_ROW and self.advice is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            on_cpu = trainer.strategy.root_device.type == "cpu"
            words = advice(loader, max(1, cores // trainer.num_devices), on_cpu)
            self.advice = (
                f"data are the bottleneck: {share:.0%} of the time goes into waiting for batches (data_wait). {words}"
            )
            warn(self.advice)


def memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that torch has allocated since the fit began, else resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # not ru_maxrss, which counts the pages of mapped files, too, and begins with the parent's
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) * 1024


def advice(loader: Loader, cores: int, on_cpu: bool) -> str:
    """What to change where a training waits for this loader, in one line.

    cores: that one process of the training may use.  on_cpu: whether it trains on them, too.
    """
    words = []
    if loader.num_workers < cores:
        idle = ", if cores are idle" if on_cpu else ""
        words.append(f"more threads{idle}: data.num_workers is {loader.num_workers}, and a process has {cores} cores")
    size, longest = loader.view_set.size, stored_side(loader.reader)
    if longest > 2 * size:
        words.append(
            f"smaller stored images: their longer side is {longest} pixels for views of {size}; write the file with "
            f"--max_resolution {2 * size}"
        )
    words.append("fewer, smaller or plainer views")
    shared = " (loader and training share the cores)" if on_cpu else ""
    path = shlex.quote(str(loader.reader.parts[0].path))
    return one_line(f"Try {'; or '.join(words)}{shared}. `massrl data doctor {path}` says what takes the time")


def stored_side(reader: Reader) -> int:
    """Median of the longer sides of the images of a file, pixels; 0 where they are stored raw and need no decoding."""
    table = reader.image_table()
    if (table.mode == RAW).all():
        return 0
    return int(np.median(np.maximum(table.height, table.width)))


def _logs(trainer: pl.Trainer) -> bool:
    """Whether the Trainer logs the step that has just ended: each call of `log` takes about half a millisecond."""
    every = trainer.log_every_n_steps  # type: ignore[attr-defined]  # which the Trainer's class does not declare
    return every > 0 and trainer.global_step % every == 0
