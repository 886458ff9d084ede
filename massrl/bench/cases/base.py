"""Case: a loss with an independent reference, and how its inputs are split over processes."""

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
    """Standard normal numbers, float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=g)


@dataclass(frozen=True)
class Case:
    """A loss of massrl.losses and a reference of its equation in loops. Creating a case registers it in CASES.

    name: the loss's name, with a suffix after a comma where a loss has several cases ("nt_xent, 3 views").
    source: paper and equation number.
    equation: in plain text, one line.
    sample: (generator, B, D) -> random inputs by name, float64.
    loss, reference: functions of these inputs that return a scalar; the reference loops over images and shares no code
        with the loss.
    learns: names of the inputs that need a gradient.
    split: input name -> axis of its images, which is split over processes; other inputs are equal on every process.
    over_ranks: "gather" if the loss compares images: each process gathers its inputs and computes the whole loss.
        "mean" if each process averages over its own images.
    tolerance: rtol and atol of torch.allclose.
    """

    name: str
    source: str
    equation: str
    sample: Callable[[torch.Generator, int, int], dict[str, Tensor]]
    loss: Callable[..., Tensor]
    reference: Callable[..., Tensor]
    learns: tuple[str, ...]
    split: Mapping[str, int]
    over_ranks: str = "gather"
    tolerance: dict[str, float] = field(default_factory=lambda: {"rtol": 1e-10, "atol": 1e-12})  # float64 rounding

    def __post_init__(self) -> None:
        if self.name in CASES:
            raise ConfigError(f"two cases are named {self.name!r}; give one of them another name")
        CASES[self.name] = self

    def inputs(self, B: int, D: int, seed: int = 0) -> dict[str, Tensor]:
        """Random inputs by name, for B images (even) and D channels, as a function of `seed`."""
        return self.sample(torch.Generator().manual_seed(seed), B, D)

    def measure(self, function: Callable[..., Tensor], inputs: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """(value, {input name: gradient}) of `function`, which is `loss` or `reference`, on these inputs."""
        fresh = {k: x.detach().clone().requires_grad_(k in self.learns) for k, x in inputs.items()}
        value = function(**fresh)
        grads = torch.autograd.grad(value, [fresh[k] for k in self.learns])
        return value.detach(), dict(zip(self.learns, grads, strict=True))

    def share(self, inputs: dict[str, Tensor], rank: int, world: int) -> dict[str, Tensor]:
        """The inputs of process `rank` of `world`: its part of the images."""
        parts = {k: inputs[k].chunk(world, axis)[rank] for k, axis in self.split.items()}
        return {**inputs, **parts}

    def on_ranks(self, **mine: Tensor) -> Tensor:
        """The loss as a method computes it in a process group, from the inputs `share` gives to this process."""
        if self.over_ranks == "gather":
            mine = {k: self._gathered(k, x) if k in self.split else x for k, x in mine.items()}
        return self.loss(**mine)

    def _gathered(self, name: str, x: Tensor) -> Tensor:
        if name not in self.learns and self.split[name] == 0:
            return gather_rows(x)
        return gather(x) if self.split[name] == 1 else gather(x[None])[0]
