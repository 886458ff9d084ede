"""Half precision ends where a loss begins."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def full_precision(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Run a loss outside autocast, on float32 in place of half-precision tensors; float64 stays as it is.

    Casting alone would not do: inside autocast a matrix product of float32 tensors is a bfloat16 product.
    """

    @functools.wraps(loss)
    def run(*args, **kwargs) -> Tensor:
        device = next(x.device for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        args, kwargs = tuple(map(_full, args)), {k: _full(v) for k, v in kwargs.items()}
        if not torch.is_autocast_enabled(device.type):  # entering a context takes as long as a small loss
            return loss(*args, **kwargs)
        with torch.autocast(device.type, enabled=False):
            return loss(*args, **kwargs)

    return run


def _full(value):
    return value.float() if isinstance(value, Tensor) and value.dtype in HALF else value
