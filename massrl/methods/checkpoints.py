"""A method from its checkpoint."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from data_loading.errors import CheckpointError, UserError
from massrl import backbones
from massrl.methods.base import METHODS, Method
from massrl.optim import OptimConfig
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.own_code import check_chosen


def load(
    path: str | os.PathLike,
    expected: str | type[Method] | None = None,
    backbone: nn.Module | None = None,
    map_location: Any = "cpu",
    *,
    strict: bool = True,
    changed: dict[str, Any] | None = None,
) -> Method:
    """The method of a checkpoint, in eval mode.

    Only tensors and plain values are read from the file. A method that is not of this package is imported from the
    module that the checkpoint names, if that is imported already or installed; a file of yours must be imported first.

    Args:
        path: a checkpoint file, or a run folder or `Run`, whose newest checkpoint is taken.
        expected: the name of a method, or a class; a checkpoint of another one, or of no subclass, is refused.
        backbone: the network, where the method was made with a module in place of a name.
        map_location: where the tensors are put: "cpu", "cuda", "cuda:1", ...
        strict: whether no weights may be missing or left over.
        changed: constructor arguments in place of those in the checkpoint.

    Raises:
        massrl.errors.CheckpointError: no such file, not a checkpoint of massrl, or one that does not fit, in one line.
    """
    checkpoint = Checkpoint.read(path, map_location)
    path, name, args = checkpoint.path, checkpoint.method, {**checkpoint.init_args, **(changed or {})}
    if isinstance(expected, str) and name != expected:
        raise CheckpointError(f"{path}: a checkpoint of {name}, not of {expected}")
    if isinstance(expected, type) and (name, checkpoint.module) == (expected.__name__, expected.__module__):
        cls = expected  # also where it cannot be imported, as from a notebook
    else:
        cls = class_of(path, name, checkpoint.module)
    if isinstance(expected, type) and not issubclass(cls, expected):
        raise CheckpointError(f"{path}: a checkpoint of {name}, not of {expected.__name__}")
    args["backbone"] = backbone if backbone is not None else args.get("backbone")
    if args["backbone"] is None:
        raise CheckpointError(
            f"{path}: trained with a backbone given as a module; pass it on: load(path, backbone=...)"
        )
    if backbone is not None:
        args["backbone_args"] = None
    try:
        with backbones.without_weights():  # the checkpoint has them; a file they came from may be gone
            method = made(cls, args)
        method.load_state_dict(checkpoint.state_dict, strict=strict)
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (RuntimeError, TypeError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{path}: does not fit {name} of this version: {line[:300]}") from None
    return method.eval()


def made(cls: type[Method], args: dict[str, Any]) -> Method:
    """A method from arguments as a checkpoint holds them, where `optim` may be a mapping."""
    if not isinstance(args.get("optim"), OptimConfig):
        args = {**args, "optim": OptimConfig(**(args.get("optim") or {}))}
    return cls(**args)


def class_of(path: Path, name: str, module: str | None) -> type[Method]:
    """The method of that name: one of this package or a registered one, else what the user's own module holds."""
    known = METHODS[name] if name in METHODS else None
    if known is not None and module in (None, known.__module__):
        return known
    if module is None or module.split(".")[0] == __package__.split(".")[0]:
        raise CheckpointError(f"{path}: a checkpoint of {name}, which is not installed; known: {', '.join(METHODS)}")
    here = f"{path}: a checkpoint of {module}.{name}"
    if module == "__main__" and not hasattr(sys.modules["__main__"], name):
        raise CheckpointError(f"{here}, a class of the script that trained it; move the class to a file of its own")
    check_chosen(module, here)
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError as error:
        top = module.split(".")[0]
        where = f"run where {top} lies, or put its folder on PYTHONPATH" if error.name == top else "install it"
        raise CheckpointError(f"{here}, and there is no module {error.name} here; {where}") from error
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise CheckpointError(f"{here}, and {module} cannot be imported: {why}") from error
    if found is None:
        raise CheckpointError(f"{here}, and {module} has no {name}; was it renamed?")
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise CheckpointError(f"{here}, which is no method: it must be a subclass of massrl.Method")
    return found
