"""Rows of a table: features of trained encoders, of the same network untrained, and the raw pixels.

Made once for all protocols, and kept in a cache under the hashes of everything that they depend on.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from data_loading import sources
from data_loading.beton.mapping import named
from data_loading.beton.reader import Reader
from data_loading.errors import CheckpointError, ConfigError, SourceError
from data_loading.sources.index import read_index
from massrl.evaluation.features import (
    PIXEL_VALUES,
    Features,
    OneLayer,
    cached_layers,
    extract_layers,
    pixel_side,
)
from massrl.evaluation.labels import Data, labels_of
from massrl.evaluation.layers import Layers, network_of
from massrl.evaluation.protocol import check_weights
from massrl.evaluation.untrained import untrained_twin
from massrl.methods import load
from massrl.methods.base import Branch
from massrl.runs.checkpoint import Checkpoint, find, plain
from massrl.runs.record import file_sha256, versions

VIEW = "eval"
UNKNOWN = "unknown"  # the code of a class that no file holds, as of a notebook: its features are not kept
LIBRARIES = ("massrl", "data_loading", "torch", "torchvision", "timm", "torchmetrics", "builtins")
DECODERS = ("simplejpeg", "opencv-python-headless", "pillow")  # of which pixels depend
PIXELS, UNTRAINED = "pixels", "random"
Check = Callable[[dict[str, np.ndarray], dict[str, Reader], list[str] | None], None]


@dataclass(frozen=True)
class FeatureRows:
    """Features of the clean centre view of every training and test image, row by row.

    features: row -> (train, test): "pixels"; "random", the first checkpoint's network untrained; then each checkpoint.
    sets: row -> {layer: (train, test)}, where several layers were asked for; `features` are of the first of them.
    networks: row -> function that returns its encoder, in eval mode, on the device that features were made on.
    files: the .beton files of "train" and "test".
    size, mean, std, method, layer, branch: of the first checkpoint; branch: "online" or "target" network.
    hashes: "checkpoint" -> {row: SHA-256}; "train" and "test" -> SHA-256.
    """

    features: dict[str, tuple[Features, Features]]
    sets: dict[str, dict[str, tuple[Features, Features]]]
    networks: dict[str, Callable[[], nn.Module]]
    files: dict[str, Path | list[Path]]
    size: int
    mean: Sequence[float] | None
    std: Sequence[float] | None
    method: str
    layer: str
    branch: str
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
    check: Check | None = None,
    layers: Sequence[str] | None = None,
    branch: Branch | None = None,
    baselines: bool = True,
    most: int | None = None,
) -> FeatureRows:
    """Features of the encoders of `checkpoints` (row -> file, run folder or `Run`) and of their baselines.

    train, test: .beton files or folders of images.  size: side of the view in pixels; that of the pretraining unless
    said.  seed: of the untrained weights.  batch_size: changes the time only.  cache_dir: where folders are kept as
    .beton files, and features; None keeps no features.  check: called with the labels and the open files of
    "train" and "test", and the names of their classes where both say, before they are hashed and the first feature is
    made, to refuse them; with it images must have labels, from 0 on.
    layers: names as in `massrl.evaluation.layers`; the output of the encoder unless said.  branch: "online" or
    "target"; the one that the method's authors evaluate unless said.  baselines: also the rows "pixels" and "random".
    most: images of each part, evenly spaced ones of more; all unless said.
    """
    for part, data_path in (("train", train), ("test", test)):
        if not isinstance(data_path, str | os.PathLike | Sequence):
            raise ConfigError(f"{part} is {data_path!r}; name a folder of images or .beton files")
    trained = {name: Trained.read(where, size, layers, branch) for name, where in checkpoints.items()}
    first = next(iter(trained.values()))
    keep = Path(cache_dir) if cache_dir is not None else None
    folder_cache: dict[str, Any] = {} if keep is None else {"cache": keep}
    files = {part: sources.as_beton(path, **folder_cache) for part, path in (("train", train), ("test", test))}
    names = same_classes((train, test), list(files.values()))
    hashes: dict[str, Any] = {"checkpoint": {name: one.sha256 for name, one in trained.items()}}
    with Reader(files["train"]) as of_train, Reader(files["test"]) as of_test:
        readers = {"train": of_train, "test": of_test}
        if check is not None:
            given = {"train": train, "test": test}
            check({part: labels_of(reader, given[part]) for part, reader in readers.items()}, readers, names)
        hashes |= {part: reader.sha256() for part, reader in readers.items()}
    pace = Pace(batch_size, num_workers, keep, most)
    sets: dict[str, dict[str, tuple[Features, Features]]] = {}
    networks: dict[str, Callable[[], nn.Module]] = {}

    def add(row: str, network: Callable[[], nn.Module], view: dict[str, Any], facts: dict[str, dict[str, Any]]) -> None:
        of_train, of_test = (features_of(network, files[part], hashes[part], view, facts, pace) for part in files)
        sets[row] = {layer: (of_train[layer], of_test[layer]) for layer in facts}

    if baselines:
        pixels = {"size": pixel_side(first.view["size"]), **PIXEL_VALUES}
        add(PIXELS, lambda: OneLayer(nn.Flatten(), PIXELS), pixels, {PIXELS: {"row": PIXELS}})
        twin = cache(partial(first.untrained, files["train"], seed, num_workers))
        networks[UNTRAINED] = partial(_encoder, twin)
        of_twin = {**first.recipe, "row": UNTRAINED, "seed": seed, "calibrated_on": hashes["train"]}
        add(UNTRAINED, twin, first.view, {layer: {**one, **of_twin} for layer, one in first.facts().items()})
    for name, one in trained.items():
        networks[name] = partial(_encoder, one.on_device)
        add(name, one.on_device, one.view, one.facts())
    return FeatureRows(
        features={row: next(iter(of_row.values())) for row, of_row in sets.items()},
        sets=sets,
        networks=networks,
        files=files,
        **first.view,
        method=first.method,
        layer=first.network.layers[0],
        branch=first.branch,
        hashes=hashes,
    )


def _encoder(network: Callable[[], nn.Module]) -> nn.Module:
    return network().encoder  # type: ignore[return-value]  # torch declares Tensor | Module


class Pace(NamedTuple):
    """How features are extracted.

    batch_size, num_workers: change the time only.  cache: None keeps no features.  most: as of `feature_rows`.
    """

    batch_size: int
    num_workers: int
    cache: Path | None
    most: int | None = None


def device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Trained:
    """A checkpoint that was read: its network for some layers, its view, and what identifies them."""

    sha256: str
    method: str
    network: Layers | OneLayer
    branch: str
    view: dict[str, Any]  # size, mean, std
    code: str | None  # SHA-256 of the files of the user's own classes in it; UNKNOWN where one has no file
    recipe: dict[str, Any]  # what the untrained network depends on in place of the checkpoint

    @classmethod
    def read(
        cls,
        checkpoint: str | os.PathLike,
        size: int | None = None,
        layers: Sequence[str] | None = None,
        branch: Branch | None = None,
    ) -> Trained:
        """Arguments as of `feature_rows`."""
        path = find(checkpoint)
        sha256 = file_sha256(path)
        data = Checkpoint.read(path).data(size)
        method = load(path)
        if file_sha256(path) != sha256:
            raise CheckpointError(f"{path}: was replaced while it was read; run this again, or copy it first")
        view = {key: data[key] for key in ("size", "mean", "std")}
        network = network_of(method, layers, branch)
        check_weights(network, path)
        made_by = plain(method.init_args)
        name, branch, code = type(method).__name__, branch or method.evaluated, own_code(method)
        recipe = {} if made_by.get("backbone") is None else {"checkpoint": None, "init_args": made_by}
        return cls(sha256, name, network, branch, view, code, {"method": name, **recipe})

    def on_device(self) -> nn.Module:
        """The network on the device that features are made on."""
        return self.network.to(device())

    def untrained(self, train: Path | list[Path], seed: int, num_workers: int) -> nn.Module:
        """The network with random weights, on that device; its BatchNorms are calibrated on the images `train`."""
        return untrained_twin(self.network, train, **self.view, seed=seed, num_workers=num_workers).to(device())

    def facts(self) -> dict[str, dict[str, Any]]:
        """Layer -> what its features depend on, apart from data and view."""
        facts = {"checkpoint": self.sha256, "branch": self.branch, "device": device(), "row": "trained"}
        facts |= {"code": self.code} if self.code else {}
        facts |= {"matmul": torch.get_float32_matmul_precision()}
        return {layer: {**facts, "layer": layer} for layer in self.network.layers}


def features_of(
    network: Callable[[], nn.Module],
    file: Path | list[Path],
    data_sha256: str,
    view: dict[str, Any],
    facts: dict[str, dict[str, Any]],
    pace: Pace,
) -> dict[str, Features]:
    """Features of each layer of `facts` (layer -> what it depends on), from the cache or by one pass over the data."""
    whole = {
        layer: {**view, **of_layer, "view": VIEW, "data": data_sha256, "versions": all_versions()}
        for layer, of_layer in facts.items()
    }
    options: dict[str, Any] = {"device": device(), "batch_size": pace.batch_size, "num_workers": pace.num_workers}
    with Reader(file) as reader:
        count = len(reader)
    if pace.most is not None and count > pace.most:
        options["indices"] = evenly(count, pace.most)
        whole = {layer: {**of_layer, "most": pace.most} for layer, of_layer in whole.items()}
    keep = kept_in(pace.cache, *facts.values())
    return cached_layers(keep, whole, lambda _: extract_layers(network(), file, **view, **options))


def evenly(every: int, most: int) -> np.ndarray:
    """Rows (min(every, most),) int64, evenly spaced, of `every` rows."""
    return np.unique(np.linspace(0, every - 1, min(every, most)).astype(np.int64))


def all_versions() -> dict[str, str]:
    """Versions of all that features depend on, decoders included."""
    return {**versions(), **{name: metadata.version(name) for name in DECODERS}}


def kept_in(cache: Path | None, *facts: Mapping[str, Any]) -> Path | None:
    """The cache for features with these facts; None where they depend on code that is not known."""
    return None if any(one.get("code") == UNKNOWN for one in facts) else cache


def own_code(method: nn.Module) -> str | None:
    """SHA-256 of the source files of a method's and its modules' classes that are of no library here: the user's own.

    They may be changed while the checkpoint stays. None where there are none, UNKNOWN where one has no file.
    """
    kinds = {type(module) for module in method.modules()}
    own = {kind for kind in kinds if kind.__module__.partition(".")[0] not in LIBRARIES}
    files = set()
    for kind in own:
        try:
            files.add(Path(inspect.getsourcefile(kind) or ""))
        except (OSError, TypeError):  # of a notebook or an interpreter
            return UNKNOWN
    if not all(file.is_file() for file in files):
        return UNKNOWN
    return hashlib.sha256("".join(sorted(map(file_sha256, files))).encode()).hexdigest() if files else None


def same_classes(given: Sequence[Data], files: Sequence[Path | list[Path]]) -> list[str] | None:
    """Names of the classes of two sets, None where a file does not say; SourceError where files have other ones.

    Labels are the numbers of class folders in sorted order, so all folders need the same ones.
    """
    known: list[tuple[Data, list[str]]] = []  # where, classes
    silent = False
    for where, path in zip(given, files, strict=True):
        each = named(path)
        for one in each:
            if classes := (read_index(one) or {}).get("classes"):
                known.append((where if len(each) == 1 else one, classes))
            else:
                silent = True
    for where, classes in known[1:]:
        first, names = known[0]
        if classes != names:
            odd = sorted({*names} ^ {*classes})
            raise SourceError(f"{first} and {where} have other class folders: {', '.join(odd[:5])} is in one only")
    return None if silent or not known else known[0][1]
