"""Rows of a table: features of trained encoders, of the same network untrained, and the raw pixels.

Made once for all protocols, and kept in a cache under the hashes of everything that they depend on.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.errors import CheckpointError, ConfigError, SourceError
from data_loading.sources.cached import read_index
from massrl.evaluation.features import Features, cached, extract
from massrl.evaluation.untrained import untrained_twin
from massrl.methods import load
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.record import file_sha256, versions

VIEW = "eval"
DECODERS = ("simplejpeg", "opencv-python-headless", "pillow")  # of which pixels depend
PIXELS, UNTRAINED = "pixels", "random"
Data = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class FeatureRows:
    """Features of the clean centre view of every training and test image, row by row.

    features: row -> (train, test): "pixels"; "random", the first checkpoint's network untrained; then each checkpoint.
    networks: row -> function that returns its network, in eval mode, on the device that features were made on.
    files: the .beton files of "train" and "test".  size, mean, std, method, layer: of the first checkpoint.
    hashes: "checkpoint" -> {row: SHA-256}; "train" and "test" -> SHA-256.
    """

    features: dict[str, tuple[Features, Features]]
    networks: dict[str, Callable[[], nn.Module]]
    files: dict[str, Path | list[Path]]
    size: int
    mean: Sequence[float] | None
    std: Sequence[float] | None
    method: str
    layer: str
    hashes: dict[str, Any] = field(default_factory=dict)


def feature_rows(
    checkpoints: Mapping[str, str | os.PathLike],
    train: Data,
    test: Data,
    *,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike | None = None,
    labelled: bool = False,
) -> FeatureRows:
    """Features of the encoders of `checkpoints` (row -> file, run folder or `Run`) and of their baselines.

    train, test: .beton files or folders of images.  size: side of the view in pixels; that of the pretraining unless
    said.  seed: of the untrained weights.  batch_size: changes the time only.  cache_dir: where folders are kept as
    .beton files, and features; None keeps no features.  labelled: refuse files without labels, by a SourceError.
    """
    for part, data_path in (("train", train), ("test", test)):
        if not isinstance(data_path, str | os.PathLike | Sequence):
            raise ConfigError(f"{part} is {data_path!r}; name a folder of images or .beton files")
    keep = Path(cache_dir) if cache_dir is not None else None
    folder_cache: dict[str, Any] = {} if keep is None else {"cache": keep}
    files = {part: sources.as_beton(path, **folder_cache) for part, path in (("train", train), ("test", test))}
    _check_classes((train, test), files)
    hashes: dict[str, Any] = {"checkpoint": {}}
    for part, file in files.items():
        with Reader(file) as reader:
            hashes[part] = reader.sha256()
            if labelled and "label" not in reader.fields:
                given = {"train": train, "test": test}[part]
                raise SourceError(f"{given}: images have no labels; an accuracy needs class folders")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    made_by = {**versions(), **{name: metadata.version(name) for name in DECODERS}}
    rows: dict[str, tuple[Features, Features]] = {}
    networks: dict[str, Callable[[], nn.Module]] = {}
    first: dict[str, Any] = {}

    def add(row: str, network: Callable[[], nn.Module | None], view: dict[str, Any], facts: dict[str, Any]) -> None:
        def features(part: str) -> Features:
            options = {"device": device, "batch_size": batch_size, "num_workers": num_workers, **view}
            facts_of_part = {**view, **facts, "view": VIEW, "data": hashes[part], "versions": made_by}
            return cached(keep, facts_of_part, lambda: extract(network(), files[part], **options))

        rows[row] = features("train"), features("test")

    for name, where in checkpoints.items():
        path = find(where)
        hashes["checkpoint"][name] = file_sha256(path)
        data = Checkpoint.read(path).data(size)
        view = {key: data[key] for key in ("size", "mean", "std")}
        method = load(path)
        if file_sha256(path) != hashes["checkpoint"][name]:
            raise CheckpointError(f"{path}: was replaced while it was read; run this again, or copy it first")
        facts = {"checkpoint": hashes["checkpoint"][name], "layer": method.layer, "device": device}
        facts |= {"code": file_sha256(source)} if (source := _own_source(type(method))) else {}
        networks[name] = cache(partial(_on, device, method.encoder))
        if not first:
            first = {**view, "method": type(method).__name__, "layer": method.layer}
            add(PIXELS, lambda: None, {"size": view["size"]}, {"row": PIXELS})
            options = {**view, "seed": seed, "num_workers": num_workers}
            twin = partial(untrained_twin, method.encoder, files["train"], **options)
            networks[UNTRAINED] = cache(lambda twin=twin: _on(device, twin()))
            of_twin = {**facts, "row": UNTRAINED, "seed": seed, "calibrated_on": hashes["train"]}
            add(UNTRAINED, networks[UNTRAINED], view, of_twin)
        add(name, networks[name], view, {**facts, "row": "trained"})
    return FeatureRows(rows, networks, files, **first, hashes=hashes)


def _own_source(method: type) -> str | None:
    """The file of a method of the user's own: its encoder may be changed while the checkpoint stays."""
    return None if method.__module__.startswith("massrl.") else inspect.getsourcefile(method)


def _on(device: str, network: nn.Module) -> nn.Module:
    return network.to(device)


def _check_classes(given: Sequence[Data], files: Mapping[str, Path | list[Path]]) -> None:
    """Labels are the numbers of class folders in sorted order, so both folders need the same ones."""
    train, test = ((read_index(file) or {}).get("classes") for file in files.values())
    if train and test and train != test:
        odd = sorted(set(train) ^ set(test))
        raise SourceError(f"{given[0]} and {given[1]} have other class folders: {', '.join(odd[:5])} is in one only")
