"""`massrl.transfer`: logistic regression on a checkpoint's frozen features of several data sets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_loading.errors import CheckpointError, UserError
from massrl.evaluation.options import check_options
from massrl.evaluation.rows import Trained, feature_rows
from massrl.evaluation.transfer.protocol import TransferProbe
from massrl.evaluation.transfer.result import HEADS, OnSet, Transfer
from massrl.evaluation.transfer.sets import Opened, Sets, TransferSet, read_sets
from massrl.methods.base import Branch

CACHE = "runs/.cache"


def transfer(
    checkpoint: str | os.PathLike,
    sets: Sets,
    *,
    root: str | os.PathLike | None = None,
    only: str | Sequence[str] | None = None,
    layer: str | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Transfer:
    """What an encoder's frozen features are worth on several data sets, each by its own metric, as `massrl transfer`.

    Beside it stand the same network with random weights, and the raw pixels. docs/evaluation.md has the protocol.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        sets: a YAML file of data sets, or a dict of the same form: name -> {"train", "test", "val", "metric", "voc"}.
        root: the folder that relative paths of `sets` are below; the current one unless said.
        only: names of the data sets to take, also as "pets,flowers"; all unless said.
        layer: where features are taken, a name of `massrl.evaluation.layers`; the encoder's output unless said.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the view in pixels; that of the pretraining unless said.
        seed: of the untrained weights and the held-out images.
        batch_size: images at once; changes the time only.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a checkpoint, list, data set or argument that does not fit, in one line.
    """
    options: dict[str, Any] = {"size": size, "seed": seed, "batch_size": batch_size, "num_workers": num_workers}
    check_options(**options, cache_dir=cache_dir)
    options |= {"branch": branch, "cache_dir": cache_dir, "layers": None if layer is None else [layer]}
    protocol = TransferProbe(seed=seed)
    named = read_sets(sets, root, only)
    Trained.read(checkpoint, size, options["layers"], branch)  # refused before the data sets are opened
    opened = {one.name: one.open(Path(cache_dir)) for one in named}  # all are read before the first takes its time
    found: dict[str, OnSet] = {}
    for one in named:
        try:
            found[one.name] = _on_set(checkpoint, one, opened[one.name], protocol, options)
        except UserError as error:
            raise type(error)(f"{one.name}: {error}") from error
        if len({of.rows.hashes["checkpoint"]["trained"] for of in found.values()}) > 1:
            raise CheckpointError(f"{checkpoint}: was replaced during the evaluation; run this again, or copy it first")
    return Transfer(protocol, found, seed)


def _on_set(
    checkpoint: str | os.PathLike, one: TransferSet, data: Opened, protocol: TransferProbe, options: dict[str, Any]
) -> OnSet:
    rows = feature_rows({"trained": checkpoint}, data.train, data.test, **options)
    scores = {}
    for row in HEADS:
        train, test = rows.features[row]
        scores[row] = protocol.choose(train.x, data.y, test.x, data.test_y, one.metric, data.validation, data.classes)
    counts = {"train": len(data.y) - data.validation, "val": data.validation, "test": len(data.test_y)}
    kept = replace(rows, networks={}, features={}, sets={})  # many data sets' features would not fit into memory
    return OnSet(one, scores, kept, counts, data.classes, data.labels_sha256, data.warnings)
