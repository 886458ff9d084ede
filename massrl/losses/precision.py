"""Losses run in float32 at least, whatever the precision of the network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

P = ParamSpec("P")  # the arguments of a loss
R = TypeVar("R")  # what it returns
HALF = (torch.float16, torch.bfloat16)


def full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Decorator: cast float16 and bfloat16 arguments to float32 and run the loss with autocast off.

    float64 stays float64. Casting alone is not enough: autocast would run a product of float32 matrices in half
    precision.
    """

    @functools.wraps(loss)
    def run(*args: Any, **kwargs: Any) -> R:
        device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        args, kwargs = tuple(map(_full, args)), {k: _full(v) for k, v in kwargs.items()}
        if not torch.is_autocast_enabled(device.type):  # entering the context costs as much as a small loss
            return loss(*args, **kwargs)
        with torch.autocast(device.type, enabled=False):
            return loss(*args, **kwargs)

    return cast("Callable[P, R]", run)


def _full(value: Any) -> Any:
    """`value` as float32 if it is a half-precision tensor, else unchanged."""
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
