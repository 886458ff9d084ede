"""A method from its checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import nn

from data_loading.errors import CheckpointError, UserError
from massrl import backbones
from massrl.methods.base import METHODS, Method
from massrl.optim import OptimConfig


def load(
    path: str | Path, expected: str | None = None, backbone: nn.Module | None = None, map_location: str = "cpu"
) -> Method:
    """The method of a checkpoint, in eval mode.

    expected: the name of a method; another one is refused.  backbone: needed where the method was made with a module
    of the user's own.  Raises CheckpointError in one sentence.  Nothing but tensors and plain values is unpickled.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        if isinstance(error, pickle.UnpicklingError) and "Unsupported" in str(error):
            raise CheckpointError(f"{path}: holds objects other than tensors; it was not written by massrl") from None
        raise CheckpointError(f"{path}: not a checkpoint, or cut short") from None
    kept = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(kept, dict) or not {"method", "init_args"} <= kept.keys() or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path}: not a checkpoint of massrl; it names no method")
    name, args = kept["method"], dict(kept["init_args"])
    if expected is not None and name != expected:
        raise CheckpointError(f"{path}: a checkpoint of {name}, not of {expected}")
    if name not in METHODS:
        raise CheckpointError(f"{path}: a checkpoint of {name}, which is not installed; known: {', '.join(METHODS)}")
    args["backbone"] = backbone if backbone is not None else args.get("backbone")
    if args["backbone"] is None:
        raise CheckpointError(
            f"{path}: trained with a backbone given as a module; pass it on: load(path, backbone=...)"
        )
    if backbone is not None:
        args["backbone_args"] = None
    args["optim"] = OptimConfig(**(args.get("optim") or {}))
    try:
        with backbones.without_weights():  # the checkpoint has them; a file they came from may be gone
            method = METHODS[name](**args)
        method.load_state_dict(checkpoint["state_dict"])
    except UserError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (RuntimeError, TypeError) as error:
        line = " ".join(str(error).split())
        raise CheckpointError(f"{path}: does not fit {name} of this version: {line[:300]}") from None
    return method.eval()
