"""What `linear`, `semi` and `finetune` share: the protocol by name with changed settings, the rows, the facts."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from data_loading.errors import ConfigError, UnknownName, near_miss
from massrl.backbones import reinitialise
from massrl.evaluation import probes
from massrl.evaluation.classify.fitting import Job, training_views
from massrl.evaluation.classify.heads import make_body
from massrl.evaluation.classify.inputs import Inputs, read_inputs
from massrl.evaluation.classify.training import Training
from massrl.evaluation.flagged import same_or_swapped
from massrl.evaluation.labels import Data
from massrl.evaluation.options import check_options
from massrl.evaluation.protocol import protocols
from massrl.evaluation.untrained import untrained_twin
from massrl.methods.base import Branch

DETERMINES = ("devices", "num_nodes", "accelerator", "precision", "strategy", "accumulate_grad_batches")


def names(task: str) -> dict[str, type[Training]]:
    """The protocols of a task, by the name that its command takes: that of the protocol without the task's."""
    found = {name: kind for name, kind in protocols().items() if getattr(kind, "task", "") == task}
    return {name.removeprefix(f"{task}-"): kind for name, kind in found.items()}


def named(task: str, protocol: str | Training) -> Training:
    """A protocol by its name, or as it is; UnknownName with the nearest name."""
    if isinstance(protocol, Training):
        if protocol.task != task:
            raise ConfigError(f"{protocol.title} is a protocol of massrl {protocol.task}, not of {task}")
        return protocol
    known = names(task)
    if not isinstance(protocol, str):
        raise ConfigError(f"protocol is {protocol!r}; name one of {', '.join(sorted(known))}")
    protocol = protocol.removeprefix(f"{task}-")  # as `massrl list protocols` shows it
    if protocol not in known:
        all_names = sorted([*known, *(probes.LINEAR if task == "linear" else ())])
        hint = near_miss(protocol, all_names)
        raise UnknownName(f"no protocol named {protocol!r} for {task}.{hint} Known: {', '.join(all_names)}")
    return known[protocol]()


@dataclasses.dataclass(frozen=True)
class Given:
    """The arguments that all three functions have."""

    checkpoint: str | os.PathLike
    train: Data
    test: Data
    branch: Branch | None
    size: int | None
    seed: int
    num_workers: int
    cache_dir: str | os.PathLike
    trainer: Mapping[str, Any] | None

    def read(self) -> Inputs:
        names = ("size", "seed", "num_workers", "cache_dir")
        check_options(**{name: getattr(self, name) for name in names})
        return read_inputs(self.checkpoint, self.train, self.test, self.branch, self.size, self.cache_dir)

    def job(self, inputs: Inputs, training: Training, number: int = 0) -> Job:
        """How `training` is run on label subset `number`: each has a seed of its own for head, order and views."""
        lightning = {key: value for key, value in (self.trainer or {}).items() if value is not None}
        return Job(inputs, training, (self.seed + number) % 2**32, self.num_workers, lightning)


def settle(given: Training, changed: Mapping[str, Any], inputs: Inputs, images: int) -> tuple[Training, Training]:
    """(the protocol as its authors have it for this encoder and number of labels, the protocol as it is used).

    images: training images that are used.  A batch larger than that is cut to them.
    """
    method = inputs.method
    recipe: Any = getattr(method.backbone, "recipe", None) or {}
    share = images / len(inputs.labels["train"])
    baseline = given.fitted(type(method).__name__, str(recipe.get("name", "")), share)
    used = baseline.changed(changed)
    if used.batch_size > images:
        used = dataclasses.replace(used, batch_size=images)
    training_views(used, inputs.size)  # what does not fit is refused before the work
    return baseline, used


def bodies(inputs: Inputs, training: Training, given: Given, rows: Sequence[str]) -> dict[str, Callable[[], nn.Module]]:
    """row -> function that makes the encoder that it starts from; "trained", "scratch", "random"."""
    body = make_body(inputs.method, inputs.branch, training)  # refused before the work

    def scratch() -> nn.Module:
        return reinitialise(copy.deepcopy(body), given.seed).requires_grad_(not training.frozen)

    def random() -> nn.Module:
        options: dict[str, Any] = {"mean": inputs.mean, "std": inputs.std}
        made = untrained_twin(
            body, inputs.files["train"], inputs.size, seed=given.seed, num_workers=given.num_workers, **options
        )
        made.num_features = body.num_features
        return made

    made: dict[str, Callable[[], nn.Module]] = {
        "trained": lambda: copy.deepcopy(body),
        "scratch": scratch,
        "random": random,
    }
    return {row: made[row] for row in rows}


def facts(inputs: Inputs, given: Given, subsets: Sequence[np.ndarray] = ()) -> dict[str, Any]:
    """What else the numbers depend on, as JSON values."""
    method = inputs.method
    split = {
        part: [str(one) for one in p] if isinstance(p, list | tuple) else str(p) for part, p in inputs.given.items()
    }
    trainer = {key: value for key, value in (given.trainer or {}).items() if key in DETERMINES and value is not None}
    return {
        "method": type(method).__name__,
        "layer": method.layer,
        "branch": inputs.branch,
        "checkpoint_sha256": inputs.hashes["checkpoint"],
        **{f"{part}_sha256": inputs.hashes[part] for part in ("train", "test")},
        "split": split,
        "warnings": same_or_swapped(inputs.given["train"], inputs.given["test"], inputs.hashes),
        "view": {"size": inputs.size, "mean": inputs.mean, "std": inputs.std},
        "classes": inputs.classes,
        "seed": given.seed,
        **({"subsets_sha256": [subset_hash(rows) for rows in subsets]} if len(subsets) else {}),
        **({"trainer": trainer} if trainer else {}),
    }


def subset_hash(rows: np.ndarray) -> str:
    """SHA-256 of the rows of a label subset, as little-endian int64."""
    return hashlib.sha256(np.ascontiguousarray(rows, "<i8").tobytes()).hexdigest()
