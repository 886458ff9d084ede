"""What a method refuses before its first step, with a ConfigError that says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from torch import Tensor

from data_loading.batch import Batch
from data_loading.errors import ConfigError
from data_loading.views.view_set import View, ViewSet
from massrl.distributed import world_size
from massrl.nn import FeatureQueue

if TYPE_CHECKING:
    from massrl.methods.base import Method


# Arguments of methods by name: the least and the largest value, and whether it is a whole number.
WIDEST, LONGEST = 2**24, 1e6
NUMBERS: dict[str, tuple[float, float, bool]] = {
    **dict.fromkeys(("hidden_dim", "out_dim", "bottleneck_dim", "pred_dim"), (1, 2**20, True)),
    **dict.fromkeys(("num_prototypes", "num_classes"), (1, WIDEST, True)),
    "queue_size": (0, WIDEST, True),  # SwAV's 0 is none; other queues refuse it
    **dict.fromkeys(("hidden_layers", "projector_layers"), (1, 100, True)),
    "sinkhorn_iterations": (1, 1000, True),
    **dict.fromkeys(("freeze_epochs", "tau_warmup_epochs", "queue_from_epoch"), (0, LONGEST, False)),
    "freeze_steps": (0, 2**40, True),
    **dict.fromkeys(("sim_weight", "var_weight", "cov_weight", "lambd", "gamma"), (0, 1e9, False)),
    "scale_loss": (0, 1e9, False),
}


def check_numbers(given: Mapping[str, Any]) -> None:
    """Refuse numbers that no method can use, as a width of 0, before anything is made; a width may be None."""
    for name in given.keys() & NUMBERS.keys():
        value, (low, high, whole) = given[name], NUMBERS[name]
        if value is None and low == 1:
            continue
        number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
        if not number or not low <= value <= high:
            kind = "an integer" if whole else "a number"
            raise ConfigError(f"{name} is {value!r}; it must be {kind} from {low:g} to {high:,.0f}")


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
