"""What each process has for itself, beside weights that are the same on all: random states, and rings of probes.

Lightning's checkpoints hold none of it. It is plain values and tensors, as torch.load(weights_only=True) reads them.
"""

from __future__ import annotations

import random
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.distributed as dist

from data_loading.config.lightning_package import pl
from massrl.distributed import world_size

move_data_to_device = pl.utilities.move_data_to_device


@runtime_checkable
class HasProcessState(Protocol):
    """A callback whose state differs between processes, and which goes on exactly where it was."""

    state_key: str

    def process_state(self) -> dict[str, Any]:
        """Plain values and tensors."""

    def load_process_state(self, state: dict[str, Any]) -> None:
        """Continue from what `process_state` has returned; called before the first step."""


def random_state() -> dict[str, Any]:
    """The states of the generators of Python, NumPy, torch, and torch's device of this process."""
    kind, *rest = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": [kind, list(rest[0]), rest[1]],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Set what `random_state` has returned."""
    kind, values, gauss = state["python"]
    random.setstate((kind, tuple(values), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


def gathered(trainer: pl.Trainer, group: Any = None) -> list[dict[str, Any]]:
    """The states of all processes on the CPU, in order of rank, on rank 0, and [] on others; each must call it.

    group: of torch.distributed, through which they are sent; None takes the default one.
    """
    callbacks = {one.state_key: one.process_state() for one in _callbacks(trainer) if isinstance(one, HasProcessState)}
    mine = move_data_to_device({"random": random_state(), "callbacks": callbacks}, torch.device("cpu"))
    if world_size() == 1:
        return [mine]
    found: list[Any] | None = [None] * world_size() if trainer.is_global_zero else None
    dist.gather_object(mine, found, dst=0, group=group)
    return found or []


def restore(trainer: pl.Trainer, states: list[dict[str, Any]]) -> None:
    """Set this process's part of what `gathered` has returned.

    With another number of processes nothing is set, which is said: the order of the images stays, but what is random
    in networks, and what online kNN remembers, begins anew.
    """
    if len(states) != trainer.world_size:
        pl.utilities.rank_zero_info(
            f"the checkpoint is of {len(states)} processes and this run has {trainer.world_size}: images, weights and "
            "schedule go on as they were; dropout and the like, and online kNN, begin anew"
        )
        return
    mine = states[trainer.global_rank]
    for one in _callbacks(trainer):
        if isinstance(one, HasProcessState) and one.state_key in mine["callbacks"]:
            state = mine["callbacks"][one.state_key]
            one.load_process_state(move_data_to_device(state, trainer.strategy.root_device))
    set_random_state(mine["random"])


def _callbacks(trainer: pl.Trainer) -> list[Any]:
    return trainer.callbacks  # type: ignore[attr-defined]  # which the Trainer's class does not declare
