"""Read a state dict from a file of weights, of whatever library wrote it; no code in the file is run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from data_loading.errors import CheckpointError, ConfigError, near_miss
from massrl import zoo
from massrl.backbones.weights_match import few
from massrl.runs.checkpoint import UnsafeFile, read_file
from massrl.runs.checkpoint_files import LAST

# Keys under which files nest their state dict; vissl's is classy_state_dict.base_model.model.trunk.
NESTS = ("state_dict", "model_state_dict", "model", "network", "net", "trunk")
EVALUATED = ("teacher", "target")  # of several state dicts, the one that its authors evaluate: the hint names it
EXPORTED = "model.safetensors"  # in a folder of timm's or of `massrl export`


def read(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The state dict in a file, at the top level or nested: {parameter name: tensor on the CPU}.

    path: .pt, .pth or .ckpt as torch.save writes them (tensors and plain values only), or .safetensors; or a folder
        with model.safetensors, or a run folder, whose newest checkpoint is read; or "zoo:NAME".
    key: which of several state dicts to take, or the prefix of the parameter names to take.
    Raises ConfigError when the file cannot be read, or does not determine one state dict.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"backbone_args.weights is {path!r}; name a file")
    path = _file(Path(path))
    content = _content(path)
    nests = dict(_nested(content))
    if key in nests:
        return nests[key]
    found = _tensors(content) or nests[_one_of(nests, path)]
    if key is None:
        return found
    under = {k.removeprefix(f"{key}."): v for k, v in found.items() if k.startswith(f"{key}.")}
    if not under:
        known = [*nests, *dict.fromkeys(k.partition(".")[0] for k in found)]
        raise ConfigError(
            f"backbone_args.weights_key: {path} has nothing under {key!r}.{near_miss(key, known)} It has {few(known)}"
        )
    return under


def _file(path: Path) -> Path:
    """The file of weights that a path, or "zoo:NAME", means. Raises ConfigError where there is none."""
    if zoo.is_zoo(path):
        return zoo.path(str(path))
    if path.is_dir():
        known = [path / name for name in (EXPORTED, LAST) if (path / name).is_file()]
        if not known:
            raise ConfigError(f"backbone_args.weights: {path}: a folder without {EXPORTED} or {LAST}; name a file")
        return known[0]
    if not path.is_file():
        raise ConfigError(f"backbone_args.weights: {path}: no such file")
    return path


def _nested(content: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """(dotted key, state dict) of each mapping with tensors below the top level."""
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, Mapping):
            here = f"{path}.{key}" if path else key
            if found := _tensors(value):
                yield here, found
            yield from _nested(value, here)


def _one_of(nests: Mapping[str, Any], path: Path) -> str:
    """The key of the state dict that is meant where none is named: a usual one, the least nested."""
    usual = [key for key in nests if key.rpartition(".")[2] in NESTS] or list(nests)
    if not usual:
        raise ConfigError(f"backbone_args.weights: {path}: holds no weights")
    depth = min(key.count(".") for key in usual)
    usual = [key for key in usual if key.count(".") == depth]
    if len(usual) == 1:
        return usual[0]
    hint = next((key for key in usual if key in EVALUATED), usual[0])
    raise ConfigError(f"backbone_args.weights: {path}: holds {few(nests)}; say which: weights_key: {hint}")


def _content(path: Path) -> Mapping[str, Any]:
    """The mapping stored in a file, read without running any code in it. Raises ConfigError."""
    try:
        if path.suffix == ".safetensors":
            content = _safetensors(path)
        else:
            content = read_file(path, safe=[argparse.Namespace])  # many published checkpoints hold their settings so
    except UnsafeFile:
        raise ConfigError(
            f"backbone_args.weights: {path}: holds objects other than tensors, which could run code; if you trust its "
            "origin, save its state dict alone to a new file"
        ) from None
    except CheckpointError:
        raise ConfigError(
            f"backbone_args.weights: {path}: not a file of weights, or truncated; supported are .safetensors and .pt, "
            ".pth and .ckpt as torch.save writes them"
        ) from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"backbone_args.weights: {path}: holds a {type(content).__name__}, not a state dict")
    return content


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # whatever a file cut short does to it
        raise CheckpointError(f"{path}: {error}") from None


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
