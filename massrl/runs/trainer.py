"""Lightning's Trainer, and what Lightning refuses in one line: the one place that turns its errors into ours.

Lightning raises ValueError, TypeError, RuntimeError and others for options that it does not take, some when a Trainer
is made and some when a fit begins. An error of these types that comes from any other code keeps its traceback.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, UserError

PACKAGES = ("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities")
KINDS = (ImportError, RuntimeError, TypeError, ValueError)


@contextmanager
def trainer_errors() -> Iterator[None]:
    """Around a fit: what Lightning itself raises becomes a ConfigError."""
    try:
        yield
    except pl.utilities.exceptions.MisconfigurationException as error:
        raise ConfigError(f"trainer: {_line(error)}") from error
    except KINDS as error:
        if _raiser(error).partition(".")[0] not in PACKAGES:
            raise
        raise ConfigError(f"trainer: {_line(error)}") from error


def as_launched(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The Trainer's arguments that torchrun decides: as many nodes as it has started, which a restart may change.

    Lightning itself refuses another number of nodes, and without a GPU takes one process for devices "auto".
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()):
        return {}
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    devices = {"devices": here} if arguments.get("devices") in (None, "auto") else {}
    return {"num_nodes": int(os.environ["WORLD_SIZE"]) // here, **devices}


def make_trainer(**arguments: Any) -> pl.Trainer:
    """Lightning's Trainer; ConfigError for arguments that it does not take, or that would do nothing."""
    _check(arguments)
    try:
        return pl.Trainer(**arguments)
    except UserError:
        raise
    except Exception as error:  # only Lightning's code has run, on these arguments
        line = _line(error)
        named = next((name for name in arguments if re.search(rf"\b{name}\b", line)), None)
        given = ", ".join(f"{name} {arguments[name]!r:.60}" for name in _CHOSEN if arguments.get(name) is not None)
        raise ConfigError(f"trainer: {line}" if named else f"trainer: {line} (with {given})") from error


_CHOSEN = (
    "accelerator",
    "devices",
    "strategy",
    "precision",
    "num_nodes",
    "profiler",
    "plugins",
    "max_time",
    "callbacks",
)
# The least and largest values of numbers that Lightning takes without a word, fails on later, or waits for.
_RANGES = {
    "accumulate_grad_batches": (1, 10**9),
    "num_nodes": (1, 10_000),
    "check_val_every_n_epoch": (1, 2**31),
    "gradient_clip_val": (0, math.inf),
    "log_every_n_steps": (0, 2**63),
    "min_epochs": (0, 2**31),
    "reload_dataloaders_every_n_epochs": (0, 2**31),
}
_MOST_DEVICES = 1024  # each is a process


def _check(arguments: dict[str, Any]) -> None:
    for name, (least, most) in _RANGES.items():
        value = arguments.get(name)
        if isinstance(value, int | float) and not least <= value <= most:  # NaN is not
            bounds = f"at least {least}" if value < least or most == math.inf else f"at most {most:,}"
            raise ConfigError(f"trainer.{name} is {value}; it must be {bounds}")
    devices = arguments.get("devices")
    if str(devices).isdigit() and int(str(devices)) > _MOST_DEVICES:
        raise ConfigError(f"trainer.devices is {devices}; it must be at most {_MOST_DEVICES:,}")


def _raiser(error: BaseException) -> str:
    """The name of the module whose code raised an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
