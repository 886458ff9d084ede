"""Fine-tuning on all labels: the network of a checkpoint is where training starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from massrl.evaluation.classify.result import Classified
from massrl.evaluation.classify.running import Given, bodies, facts, named, settle
from massrl.evaluation.classify.training import Training
from massrl.evaluation.labels import Data
from massrl.evaluation.semi import CACHE, choosing
from massrl.methods.base import Branch

HELD_OUT = 0.1  # of the training images, for a choice of the learning rate


def finetune(
    checkpoint: str | os.PathLike,
    train: Data,
    test: Data,
    *,
    protocol: str | Training = "finetune",
    scratch: bool = False,
    branch: Branch | None = None,
    size: int | None = None,
    seed: int = 0,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
    trainer: Mapping[str, Any] | None = None,
    **changed: Any,
) -> Classified:
    """Accuracy of a checkpoint's network fine-tuned on all training images, as `massrl finetune`.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        train: labelled images: a folder of class folders or .beton files.
        test: labelled images to measure on.
        protocol: finetune, or by its authors simclr, mae or dinov2; `massrl list protocols`.
        scratch: train the same network from random weights, too.
        branch: "online" or "target" network; the one that the method's authors evaluate unless said.
        size: side of the views in pixels; that of the pretraining unless said.
        seed: of head, order, views, mixup and drop path.
        num_workers: loader threads.
        cache_dir: where folders are kept.
        trainer: arguments of Lightning's Trainer: devices, accelerator, precision, strategy, ...
        changed: settings in place of the protocol's: epochs, base_lr, body_lr, layer_decay, mixup, drop_path, ...

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    given = Given(checkpoint, train, test, branch, size, seed, num_workers, cache_dir, trainer)
    start = named("finetune", protocol)
    start.changed(changed)
    inputs = given.read()
    rows = np.arange(len(inputs.labels["train"]))
    baseline, used = settle(start, changed, inputs, len(rows))
    used = choosing(used, inputs.labels["train"])
    made = bodies(inputs, used, given, ["trained", *["scratch"] * scratch])
    job = given.job(inputs, used)
    fits = {row: [job.fit(body, rows, HELD_OUT)] for row, body in made.items()}
    return Classified(
        protocol=used,
        baseline=baseline,
        method=type(inputs.method).__name__,
        fits=fits,
        labels="all",
        images={"train": len(rows), "test": len(inputs.labels["test"])},
        facts=facts(inputs, given),
    )
