"""What a method refuses before its first step, with a ConfigError that says what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl.distributed import world_size
from massrl.nn import FeatureQueue

if TYPE_CHECKING:
    from massrl.methods.base import Method


def check_type(batch: object, step: str = "training") -> None:
    """Refuse what is no Batch, as the list of tensors that a DataLoader of images yields."""
    if not isinstance(batch, Batch):
        raise ConfigError(
            f"a {step} step takes a Batch, got {type(batch).__name__}; make one of what the loader yields, in "
            "its collate_fn: Batch.from_views([x1, x2], labels)"
        )


def check_floats(batch: Batch) -> None:
    """Refuse views that are not floating-point, as uint8 images that nobody has normalised."""
    for kind in {x.dtype for x in batch.views if not x.is_floating_point()}:
        raise ConfigError(
            f"views are {str(kind).removeprefix('torch.')}, not normalised floats; leave data.dtype at float32, "
            "or make them so, (x / 255 - mean) / std, before Batch.from_views or in on_after_batch_transfer"
        )


def check_views(method: Method, views: ViewSet | Sequence[View]) -> None:
    """Refuse views that are more or fewer than `method.needs` says, and local views where it takes none."""
    views = views.views if isinstance(views, ViewSet) else views
    found = {role: sum(v.role == role for v in views) for role in ("global", "local")}
    n, need, me = found["global"], method.needs, type(method).__name__
    if n < need.global_views or (n > need.global_views and not need.or_more):
        wanted = f"{need.global_views}{' or more' if need.or_more else ''}"
        raise ConfigError(
            f"{me} takes {wanted} global views, the view set has {n}; data.views: {method.default_views} fits"
        )
    if found["local"] and not need.local_views:
        raise ConfigError(f"{me} takes no local views, the view set has {found['local']}; set local: 0 in data.views")


def check_labelled(method: Method, labels: Tensor) -> None:
    """Refuse labels (N,) int64 if any is missing, which is -1."""
    missing = int((labels < 0).sum())
    if missing:
        found = "these data have none" if missing == len(labels) else f"{missing} of {len(labels)} images have none"
        raise ConfigError(
            f"{type(method).__name__} needs labels, and {found}; set data.train to a folder of class folders or to a "
            "file with an integer field named label, or give them to Batch.from_views(views, labels)"
        )


def check_tau(tau: float, name: str = "tau") -> float:
    """The temperature `tau` itself, above 0 and finite; `name` is the argument that the error names."""
    if not 0 < tau < math.inf:
        raise ConfigError(f"{name} is {tau}; a temperature must be above 0")
    return tau


def check_queue(queue: FeatureQueue, batch: Batch) -> None:
    """Refuse a queue smaller than the global batch: it would keep only a part of the newest batch."""
    images = len(batch) * world_size()
    if len(queue) < images:
        raise ConfigError(
            f"queue_size is {len(queue)}, smaller than the global batch of {images} images; set queue_size to {images} "
            "or more, or data.batch_size lower"
        )
