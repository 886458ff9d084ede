"""Checkpoints: the one place that reads them, and that says what massrl adds to Lightning's.

Lightning writes the file. Beside its own keys a checkpoint of a run holds
    hyper_parameters   method, module, init_args: what `massrl.load` makes the method from;
                       resolved: the optimiser's settings and bn_over, defaults filled in
    massrl             size, mean, std, view_set: the data that the encoder was trained on; config: all settings
Files are read with `weights_only=True`: tensors and plain values, no code.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from data_loading.errors import CheckpointError
from massrl import zoo
from massrl.runs.checkpoint_files import LAST, PREVIOUS, damage

log = logging.getLogger(__name__)
# Settings that are part of the optimiser's saved state, so that another value would be ignored.
SAVED_SETTINGS = (
    "name",
    "weight_decay",
    "momentum",
    "trust",
    "trust_clip",
    "predictor_lr",
    "predictor_schedule",
    "bias_lr",
)


class UnsafeFile(CheckpointError):
    """A file that holds objects other than tensors and plain values: reading them could run code."""


def find(where: str | os.PathLike) -> Path:
    """The checkpoint file meant by `where`: a file, a run folder (or `Run`), whose newest it is, or "zoo:NAME".

    Where a run's newest checkpoint is damaged, it is the one before, which is said. Raises CheckpointError where there
    is none.
    """
    if not isinstance(where, str | os.PathLike):
        raise CheckpointError(f"{where!r} is no checkpoint; give a run, its folder, or the path of a checkpoint")
    if zoo.is_zoo(where):
        return zoo.path(os.fspath(where))
    if not os.fspath(where).strip():  # as an unset variable gives; Path("") would be the current folder
        raise CheckpointError(
            "the name of the checkpoint is empty; give a run, its folder, or the path of a checkpoint"
        )
    path = Path(where)
    if path.suffix == ".safetensors" or (path / "model.safetensors").is_file():
        raise CheckpointError(f"{path}: an encoder alone, not a checkpoint; massrl.load_encoder reads it")
    if path.is_dir():
        return newest(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; `massrl pretrain` writes one to RUN/{LAST}")
    return path


def newest(run: Path) -> Path:
    """The newest checkpoint of a run folder that is not damaged; CheckpointError where there is none."""
    there = [run / name for name in (LAST, PREVIOUS) if (run / name).is_file()]
    if not there:
        raise CheckpointError(f"{run}: a folder without {LAST}; name a run folder or a checkpoint")
    wrong: list[str] = []
    for path in there:
        if not (found := damage(path)):
            if wrong:
                log.warning("%s; the checkpoint before it is used, %s", wrong[0], path)
            return path
        wrong.append(f"{path}: {found}")
    raise CheckpointError("; ".join(wrong))


def read_file(path: Path, map_location: str = "cpu", safe: Sequence[type] = ()) -> Any:
    """The content of a file that torch.save wrote: tensors, plain values, and objects of the `safe` classes.

    Raises UnsafeFile where it holds other objects, CheckpointError where torch cannot read it.
    """
    try:
        with torch.serialization.safe_globals(list(safe)):
            return torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error):
            raise UnsafeFile(f"{path}: holds objects other than tensors; it was not written by massrl") from None
        raise CheckpointError(f"{path}: not a checkpoint, or cut short") from None
    except Exception:  # torch raises many types for a file that it did not write
        raise CheckpointError(f"{path}: not a checkpoint, or cut short") from None


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file holds: `content` is Lightning's dictionary with what massrl has added."""

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, where: str | os.PathLike, map_location: str = "cpu") -> Checkpoint:
        """Read a checkpoint file, or the newest checkpoint of a run folder.

        Raises CheckpointError where it is missing, unreadable or unsafe, or names something to be called at loading.
        """
        path = find(where)
        content = read_file(path, map_location)
        content = content if isinstance(content, dict) else {}
        for part in ("hyper_parameters", "datamodule_hyper_parameters"):
            kept = content.get(part)
            if isinstance(kept, dict) and "_instantiator" in kept:  # Lightning below 2.6.6 calls whatever it names
                raise CheckpointError(
                    f"{path}: names a function to call when it is loaded (_instantiator in its {part}), which massrl "
                    "never writes; it is not loaded"
                )
        return cls(path, content)

    @property
    def _kept(self) -> dict[str, Any]:
        kept = self.content.get("hyper_parameters")
        return kept if isinstance(kept, dict) else {}

    @property
    def method(self) -> str:
        """The method's name. Raises CheckpointError where the file names none."""
        if not {"method", "init_args"} <= self._kept.keys() or "state_dict" not in self.content:
            raise CheckpointError(f"{self.path}: not a checkpoint of massrl; it names no method")
        return self._kept["method"]

    @property
    def module(self) -> str | None:
        """The module that defines the method; None in checkpoints that do not say."""
        return self._kept.get("module")

    @property
    def init_args(self) -> dict[str, Any]:
        """The arguments of the method's constructor as plain values; a backbone given as a module is None."""
        return dict(self._kept["init_args"])

    @property
    def state_dict(self) -> Mapping[str, Tensor]:
        """Parameters and buffers of the method by name."""
        return self.content["state_dict"]

    @property
    def steps(self) -> int:
        """Optimiser steps done."""
        return int(self.content["global_step"])

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return int(self.content["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])

    @property
    def global_batch(self) -> int | None:
        """Images of all processes in a step; None where the loader kept no state."""
        loop = self.content.get("loops", {}).get("fit_loop", {}).get("state_dict", {})
        states = [state for state in loop.get("combined_loader") or [] if isinstance(state, dict)]
        return states[0].get("global_batch") if states else None

    def data(self, size: int | None = None) -> dict[str, Any]:
        """{"size", "mean", "std", "view_set"} that the encoder was trained with; `size` in pixels replaces its own.

        Where the checkpoint does not say, mean and std are None (ImageNet's) and `size` must be given, else
        CheckpointError.
        """
        found = self.content.get("massrl")
        if not isinstance(found, dict) or "size" not in found:
            if size is None:
                raise CheckpointError(
                    f"{self.path}: does not say which image size its encoder was trained with; give --size"
                )
            found = {"size": size, "mean": None, "std": None, "view_set": None}
        return {**found, "size": found["size"] if size is None else size}

    def check_continues(self, method: nn.Module) -> None:
        """Refuse, by a CheckpointError, to continue the run with a method or settings other than its own."""
        mine, theirs = type(method).__name__, self._kept.get("method")
        if theirs is None or not {"state_dict", "loops"} <= self.content.keys():
            raise CheckpointError(f"{self.path}: not a checkpoint of a massrl run; it cannot be continued")
        if theirs != mine:
            raise CheckpointError(
                f"{self.path}: a checkpoint of {theirs}, not of {mine}; give --model {theirs} or another file"
            )
        saved = (self._kept.get("resolved") or {}).get("optim") or {}
        changed = [key for key in SAVED_SETTINGS if key in saved and saved[key] != getattr(method.optim, key)]
        if changed:
            what = ", ".join(
                f"optim.{key} is {saved[key]} there and {getattr(method.optim, key)} here" for key in changed
            )
            raise CheckpointError(
                f"{self.path}: {what}; the optimiser continues with its saved settings, so leave them unchanged"
            )
        if differs := _first_difference(method.state_dict(), self.state_dict):
            raise CheckpointError(f"{self.path}: its {theirs} has other model options: {differs}; give the same ones")
        if "optimizer_states" not in self.content:
            raise CheckpointError(
                f"{self.path}: holds no state of its optimiser, as those of the zoo, so it cannot be continued; start "
                "a run from its weights by --model.backbone_args.weights"
            )


def _first_difference(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """In words, the first name or shape in which two state dicts differ; "" where none does."""
    for name in sorted({*mine, *theirs}):
        if name not in theirs:
            return f"it has no {name}"
        if name not in mine:
            return f"it has {name}, which is not in this model"
        if mine[name].shape != theirs[name].shape:
            return f"{name} is {tuple(theirs[name].shape)} there and {tuple(mine[name].shape)} here"
    return ""


def hyper_parameters(method: Any) -> dict[str, Any]:
    """What a checkpoint says of its method, from which it is made again."""
    return {
        "method": type(method).__name__,
        "module": type(method).__module__,
        "init_args": plain(method.init_args),
        "resolved": {"optim": plain(method.optim), "bn_over": method.bn_over},  # what None stood for
    }


def data_facts(data: Any, config: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of its data module (its views and normalisation) and of all settings."""
    return {
        "size": data.view_set.size,
        "mean": [float(x) for x in data.mean],
        "std": [float(x) for x in data.std],
        "view_set": data.view_set.to_dict(),
        "config": config,
    }


def plain(value: Any) -> Any:
    """`value` as torch.load(weights_only=True) reads it back: dicts, lists, numbers, strings; a module becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: plain(v) for k, v in dataclasses.asdict(value).items()}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, nn.Module):
        return None
    return str(value) if isinstance(value, Path) else value
