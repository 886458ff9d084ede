"""An encoder from an export or a checkpoint: the function `massrl.load_encoder`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_loading.errors import CheckpointError, ConfigError
from massrl.exporting import source
from massrl.exporting.making import network_of
from massrl.exporting.safetensors_file import TARGET
from massrl.exporting.timm_folder import CONFIG
from massrl.methods.base import Branch
from massrl.runs.checkpoint_files import LAST
from massrl.timm_package import import_timm


def load_encoder(
    path: str | os.PathLike,
    *,
    branch: Branch | None = None,
    backbone: nn.Module | None = None,
) -> nn.Module:
    """An encoder in eval mode, images (B, channels, H, W) -> features (B, num_features), which it has as an attribute.

    Only tensors and plain values are read. A method of your own is made by the module that the card or the checkpoint
    names, which is imported where it can be: import runs its code. How images are prepared for it is in the card of an
    export.

    Args:
        path: an export (a timm folder, RUN/export, or a safetensors file with its card beside it), or a run, its folder
            or a checkpoint file.
        branch: of a checkpoint: "online" or "target"; the network that the method's authors evaluate unless said.
        backbone: a network of the same architecture, where the method was made with a module in place of a name; its
            weights are replaced in a checkpoint, and copied into a new one from an export.

    Raises:
        massrl.errors.CheckpointError: no such file, damaged, or one that does not fit, in one line.
    """
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(f"{path!r} is no encoder; give a path")
    where = Path(path)
    exported = (where.is_dir() and not (where / LAST).is_file()) or where.suffix == TARGET.suffix
    if not exported:
        return source.read(path, branch, backbone=backbone).network.requires_grad_(True)
    if branch is not None:
        raise ConfigError(f"{path}: an export holds one network; leave branch out, or name a checkpoint")
    weights = where / TARGET.file if where.is_dir() else where
    if (where / CONFIG).is_file():
        return _of_timm(where).eval()
    if weights.is_file():
        return _of_safetensors(weights, backbone).eval()
    raise CheckpointError(f"{path}: neither a run folder nor an export; it has no {LAST}, {CONFIG} or {TARGET.file}")


def _of_timm(folder: Path) -> nn.Module:
    """The network of a timm folder."""
    timm = import_timm()

    try:
        with torch.random.fork_rng(devices=[]):
            network = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0)
    except Exception as error:  # timm raises many types for a folder that is damaged
        raise CheckpointError(f"{folder}: timm cannot load it: {' '.join(str(error).split())[:300]}") from None
    network.num_features = getattr(network, "head_hidden_size", None) or network.num_features
    return network


def _of_safetensors(file: Path, backbone: nn.Module | None) -> nn.Module:
    """The network of a safetensors file, by its card."""
    from safetensors.torch import load_file

    card = _card(file)
    try:
        weights = load_file(file)
    except Exception as error:  # whatever a file cut short does to it
        raise CheckpointError(f"{file}: not a safetensors file, or cut short ({error})") from None
    made_by = card["made_by"]
    try:
        return network_of(made_by, weights, None if made_by else backbone)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from None


def _card(file: Path) -> dict[str, Any]:
    """The card of an exported file. Raises CheckpointError where there is none."""
    path = file.with_suffix(".json")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(
            f"{file}: has no card {path.name} beside it, which says how to make the network; a file of weights alone "
            "is read by backbone_args: {weights: FILE}"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(found, dict) or not isinstance(found.get("made_by"), dict):
        raise CheckpointError(f"{path}: not the card of an export of massrl")
    return found
