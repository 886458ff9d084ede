"""Small models of massrl.simple for its tests."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from massrl import simple
from two_processes import without_batch_norm

FEATURES, N = 24, 12
SMALL = {
    "BarlowTwins": {"projection_dim": 32, "hidden_dim": 32},
    "BYOL": {"projection_dim": 16, "hidden_dim": 32},
    "DINO": {"projection_dim": 64, "hidden_dim": 64, "bottleneck_dim": 16, "num_crops": 2},
    "MoCo": {"K": 40},
    "MoCoV2": {"K": 40},
    "MoCoV3": {"hidden_dim": 32, "projection_dim": 16},
    "SimSiam": {"projection_dim": 32, "hidden_dim_proj": 32, "hidden_dim_pred": 8},
    "SwAV": {"num_prototypes": 20, "queue_length": 16, "hidden_dim": 32, "num_crops": 2, "freeze_steps": 1},
}


def backbone(seed: int = 0) -> nn.Sequential:
    """A user's own module, without num_features."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, FEATURES, 3, 2, 1)]
    return nn.Sequential(*layers, nn.BatchNorm2d(FEATURES), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def model(name: str, weights: int = 0, **args) -> simple.base.Simple:
    """weights: the seed of those that it starts with."""
    return getattr(simple, name)(backbone(weights), FEATURES, image_size=16, **{**SMALL.get(name, {}), **args})


def inputs(name: str, n: int = N, seed: int = 0) -> tuple[Tensor, ...]:
    """What the model takes: images, and for SupCon labels."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, 20, 24, generator=draw)
    return (images, torch.arange(n) % 3) if name == "SupCon" else (images,)


def train(one: nn.Module, name: str, steps: int, first: int = 0, optimiser=None) -> list[float]:
    """The losses of steps on drawn batches; SGD unless there is an optimiser."""
    optimiser = optimiser or torch.optim.SGD(one.parameters(), 0.05)
    losses = []
    for step in range(first, first + steps):
        loss = one(*inputs(name, seed=step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


def differing(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    assert a.keys() == b.keys()
    return [name for name in a if not torch.equal(a[name], b[name])]


def in_processes(number: int, world: int, names: list[str], out: Path) -> None:
    """One of `world` processes (gloo, CPU): three steps under DDP on its part of each batch."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=number, world_size=world)
    torch.save({name: trained(name, number, world) for name in names}, out / f"{number}.pt")
    dist.destroy_process_group()


def trained(name: str, number: int = 0, world: int = 1) -> dict[str, Tensor]:
    """The state after three steps in float64, BatchNorm replaced: it would see its own process's images alone."""
    rising = {"total_steps": 3} if name in ("BYOL", "DINO", "MoCoV3") else {}
    one = without_batch_norm(model(name, **rising)).double()
    wrapped = DistributedDataParallel(one) if world > 1 else one
    optimiser = torch.optim.SGD(one.parameters(), 0.05)
    for step in range(3):
        part = [x.chunk(world)[number] for x in inputs(name, seed=step)]
        optimiser.zero_grad()
        wrapped(*part).backward()
        optimiser.step()
        if number == 0:
            wrapped.state_dict()  # saved by one process alone, as is usual
    return one.state_dict()
