"""Train and eval mode, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(module: nn.Module) -> Iterator[nn.Module]:
    """A module in eval mode, in which nothing is learnt, running statistics neither; afterwards each of its parts is in
    the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield module
    finally:
        for part, training in modes.items():
            part.training = training
