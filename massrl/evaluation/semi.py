"""Learning with few labels: the network of a checkpoint fine-tuned on 1 %, 10 % or a list of the training images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_loading.errors import ConfigError
from massrl.evaluation.classify.inputs import Inputs
from massrl.evaluation.classify.labelled import random_subsets, read_subsets, write_subsets
from massrl.evaluation.classify.result import Classified
from massrl.evaluation.classify.running import Given, bodies, facts, named, settle
from massrl.evaluation.classify.training import Training
from massrl.evaluation.labels import Data
from massrl.evaluation.linear import Linear
from massrl.evaluation.options import check_options
from massrl.evaluation.rows import feature_rows
from massrl.evaluation.subsets import fraction
from massrl.methods.base import Branch

CACHE = "runs/.cache"
HELD_OUT = 0.2  # of the labelled images, for a choice of the learning rate
ENOUGH = 5  # labelled images of each class, below which no rate is chosen


def semi(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    labels: str | float = "10pct",
    per_class: int | None = None,
    subset_file: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    draws: int = 3,
    protocol: str | Training = "semi",
    scratch: bool = False,
    probe: bool = True,
    subsets_out: str | os.PathLike | None = None,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
    trainer: Mapping[str, Any] | None = None,
    **changed: Any,
) -> Classified:
    """Accuracy of a checkpoint's network fine-tuned on few labels, as `massrl semi`.

    A protocol that chooses its learning rate holds out a fifth of the labelled images for it, of each class, where each
    class has at least 5; with fewer the rate stays as it is. Then it trains on all labelled images.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: labelled images, of which a part is used: a folder of class folders or .beton files.
        test: labelled images to measure on.
        labels: which part: "1pct", "10pct", a fraction, "one" (of each class) or "all".
        per_class: images of each class, in place of `labels`.
        subset_file: files of image names, one a line, as SimCLR publishes them, in place of `labels`; a file a subset.
        draws: how many random label subsets; the same ones for every checkpoint.
        protocol: semi, or by its authors vicreg, swav, simclr, byol, massrl or paws; `massrl list protocols`.
        scratch: train the same network from random weights, too.
        probe: the linear probe (protocol linear) on the frozen encoder and the same labels, too.
        subsets_out: a folder for lists of the images that were used, as `subset_file` takes them.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the views in pixels; that of the pretraining unless said.
        seed: of subsets, head, order and views.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.
        trainer: arguments of Lightning's Trainer: devices, accelerator, precision, strategy, ...
        changed: settings in place of the protocol's: epochs, batch_size, base_lr, body_lr, rates, views, ...

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    given = Given(checkpoint, train, test, branch, size, seed, num_workers, cache_dir, trainer)
    start = named("semi", protocol)
    start.changed(changed)  # a wrong setting is refused before files are read
    check_options(draws=draws, subsets_out=subsets_out)
    if per_class is None and subset_file is None:
        fraction(labels)
    inputs = given.read()
    subsets, said = _subsets(inputs, labels, per_class, subset_file, draws, seed)
    baseline, used = settle(start, changed, inputs, min(map(len, subsets)))
    if all(choosing(used, inputs.labels["train"][rows]) is not used for rows in subsets):
        used = choosing(used, inputs.labels["train"][subsets[0]])
    sizes = sorted({len(rows) for rows in subsets})
    if len(sizes) > 1:  # batch and settings follow from their number
        raise ConfigError(f"the subsets have {', '.join(map(str, sizes))} images; evaluate those of each number alone")
    made = bodies(inputs, used, given, ["trained", *["scratch"] * scratch])
    if subsets_out is not None:
        write_subsets(inputs, subsets, subsets_out)
    fits: dict[str, list] = {row: [] for row in made}
    for number, rows in enumerate(subsets):
        job = given.job(inputs, choosing(used, inputs.labels["train"][rows]), number)
        for row, body in made.items():
            fits[row].append(job.fit(body, rows, HELD_OUT))
    return Classified(
        protocol=used,
        baseline=baseline,
        method=type(inputs.method).__name__,
        fits=fits,
        labels=said,
        images={"train": sizes[0], "test": len(inputs.labels["test"])},
        probe=_probe(given, subsets) if probe else None,
        facts=facts(inputs, given, subsets),
    )


def _subsets(
    inputs: Inputs,
    labels: str | float,
    per_class: int | None,
    subset_file: str | os.PathLike | Sequence[str | os.PathLike] | None,
    draws: int,
    seed: int,
) -> tuple[list[np.ndarray], str]:
    if subset_file is None:
        return random_subsets(inputs, labels, per_class, draws, seed)
    if per_class is not None:
        raise ConfigError("per_class and subset_file are both given; leave one out")
    return read_subsets(inputs, subset_file)


def choosing(training: Training, y: np.ndarray) -> Training:
    """The protocol for labels y (n,): without its choice of the rate where a class has fewer than ENOUGH images."""
    if training.selection != "held-out" or np.unique(y, return_counts=True)[1].min() >= ENOUGH:
        return training
    return training.changed({"rates": (), "selection": "fixed"})


def _probe(given: Given, subsets: Sequence[np.ndarray]) -> np.ndarray:
    """(subsets,) accuracies in 0..1 of the linear probe on cached features of the frozen encoder."""
    rows = feature_rows(
        {"trained": given.checkpoint},
        given.train,
        given.test,
        branch=given.branch,
        size=given.size,
        seed=given.seed,
        num_workers=given.num_workers,
        cache_dir=given.cache_dir,
        baselines=False,
    )
    train, test = rows.features["trained"]
    return Linear().accuracies(train.x, train.y, test.x, test.y, subsets)
