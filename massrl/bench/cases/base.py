"""Case: a loss beside an independent reference, and how its inputs are shared out over processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from data_loading.errors import ConfigError
from massrl.distributed import gather, gather_rows

SIZES = ((4, 3), (6, 16), (12, 5))  # (images B, channels D); B is even, for two processes
CASES: dict[str, Case] = {}


def normal(g: torch.Generator, *shape: int) -> Tensor:
    """Normal numbers in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=g)


@dataclass(frozen=True)
class Case:
    """A loss of massrl.losses and its equation in loops, in float64.

    name: of the case, that of the loss where it has only one, else "loss, what is special".
    source: paper and equation.
    equation: in plain text, one line.
    draw: (generator, B, D) -> the inputs by name, float64.
    loss, reference: functions of these inputs; the reference shares no code with the loss, with loops over images.
    learns: inputs with a gradient.
    split: input -> the axis of its images; others are the same on every process.
    over_ranks: "gather" where the loss compares images (the method gathers its inputs, and every process computes all
        of it), "mean" where each process averages over its own images.
    """

    name: str
    source: str
    equation: str
    draw: Callable[[torch.Generator, int, int], dict[str, Tensor]]
    loss: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    learns: tuple[str, ...]
    split: Mapping[str, int]
    over_ranks: str = "gather"
    tolerance: dict[str, float] = field(default_factory=lambda: {"rtol": 1e-10, "atol": 1e-12})  # float64 rounding

    def __post_init__(self) -> None:
        if self.name in CASES:
            raise ConfigError(f"two cases are named {self.name!r}")
        CASES[self.name] = self

    def inputs(self, B: int, D: int, seed: int = 0) -> dict[str, Tensor]:
        return self.draw(torch.Generator().manual_seed(seed), B, D)

    def measure(self, function: Callable[..., Tensor], inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Value of `function` on these inputs, and its gradient by each of `learns`."""
        fresh = {k: x.detach().clone().requires_grad_(k in self.learns) for k, x in inputs.items()}
        value = function(**fresh)
        grads = torch.autograd.grad(value, [fresh[k] for k in self.learns])
        return value.detach(), dict(zip(self.learns, grads, strict=True))

    def share(self, inputs: dict[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
        """The part of the inputs of one process."""
        parts = {k: inputs[k].chunk(world, axis)[rank] for k, axis in self.split.items()}
        return {**inputs, **parts}

    def on_ranks(self, **mine: Tensor) -> Tensor:
        """The loss as a method computes it on one of several processes, from the process's own part."""
        if self.over_ranks == "gather":
            mine = {k: self._gathered(k, x) if k in self.split else x for k, x in mine.items()}
        return self.loss(**mine)

    def _gathered(self, name: str, x: Tensor) -> Tensor:
        if name not in self.learns and self.split[name] == 0:
            return gather_rows(x)
        return gather(x) if self.split[name] == 1 else gather(x[None])[0]
