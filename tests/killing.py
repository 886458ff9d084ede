"""Runs that are killed at a given point, and the same runs that are not; a module of its own, for processes to import.

python -m killing IMAGES RUN POINT STEP [SETTINGS as JSON]: train, and end by SIGKILL at the point of that step.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

import massrl
from massrl.callbacks import MACHINE
from massrl.methods import METHODS
from massrl.runs import checkpoint_files

HERE = Path(__file__).parent
STEPS = 12  # of a run: 3 epochs of 4 batches
POINTS = ("in the step", "before the checkpoint", "in the write", "before the row", "in the renaming")


class Dropping(nn.Module):
    """A backbone whose every forward needs random numbers."""

    num_features = 16

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.3))

    def forward(self, x):
        return self.body(x).mean((2, 3))


class Draws(pl.Callback):
    """Logs a random number of each generator, so that metrics.csv shows whether they went on."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        pl_module.log("drawn", random.random() + np.random.rand() + float(torch.rand(())), batch_size=1)


class Seen(pl.Callback):
    """Writes which images each process sees in each step, to a file a process in the folder `out`."""

    def __init__(self, out: str):
        self.out = Path(out)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        with open(self.out / f"seen {trainer.global_rank}.txt", "a") as file:
            print(trainer.global_step, trainer.world_size, *batch.index.tolist(), file=file)


class KillAt(pl.Callback):
    """SIGKILL of this process at a point of a step, counted from 1."""

    def __init__(self, point: str, step: int):
        assert point in POINTS
        self.point, self.step = point, step

    def on_before_zero_grad(self, trainer, *_):
        self._die(trainer, "in the step", trainer.global_step + 1)

    def on_train_batch_end(self, trainer, *_):
        self._die(trainer, "before the checkpoint", trainer.global_step)
        if trainer.global_step != self.step:
            return
        if self.point == "in the write":  # after the first half megabyte, so that the file is cut short
            checkpoint_files._Stream.write = _dying_write
        if self.point == "before the row":
            pl.Trainer.save_checkpoint = _after(pl.Trainer.save_checkpoint)
        if self.point == "in the renaming":
            os.link = _after(os.link)

    def _die(self, trainer, point, step):
        if (point, step) == (self.point, self.step):
            _kill()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(function):
    def dying(*args, **kwargs):
        function(*args, **kwargs)
        _kill()

    return dying


def _dying_write(self, part):
    self.file.write(part[: len(part) // 2])
    self.file.flush()
    if self.file.tell() > 1000:
        _kill()
    return len(part)


def train(
    images: Path, run: Path, *callbacks: pl.Callback, method: str = "MoCoV2", ema: float = 0.99, **settings: Any
) -> massrl.Run:
    """Train, or go on, in this process; a checkpoint after every step."""
    sizes = {"MoCoV2": {"queue_size": 8}, "DINO": {"bottleneck_dim": 8}}.get(method, {})
    target = {} if method == "SimCLR" else {"ema": ema, "ema_end": ema}
    made = METHODS[method](Dropping(), hidden_dim=16, out_dim=8, **sizes, **target)
    usual: dict[str, Any] = {"size": 16, "batch_size": 4, "num_workers": 1, "max_epochs": 3, "log_every_n_steps": 1}
    usual |= {"report": False, "export": False, "enable_progress_bar": False, "accelerator": "cpu"}
    usual |= {"save_minutes": 1e-6, "cache_dir": str(images.parent / "cache")}
    return massrl.pretrain(images, made, out=run, callbacks=[Draws(), *callbacks], **{**usual, **settings})


def killed(images: Path, run: Path, point: str, step: int, **settings: Any) -> None:
    """Train in another process, which is killed there."""
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    words = [sys.executable, "-m", "killing", str(images), str(run), point, str(step), json.dumps(settings)]
    alike = {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(torch.get_num_threads())}  # for equal sums
    done = subprocess.run(words, env={**os.environ, **alike}, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


def logged(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what differs from run to run."""
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in MACHINE} for row in csv.DictReader(file)]


def kept(run: Path) -> dict[str, Any]:
    """The newest checkpoint's content."""
    return torch.load(run / checkpoint_files.LAST, weights_only=True)


if __name__ == "__main__":
    _images, _run, _point, _step, _settings = sys.argv[1:]
    train(Path(_images), Path(_run), KillAt(_point, int(_step)), **json.loads(_settings))
