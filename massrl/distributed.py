"""What several processes compute together, through torch.distributed; a single process skips the communication."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """Number of processes; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0; 0 without torch.distributed."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        # Every rank computes the whole loss, so the gradients of its copies of x add up; DDP's mean divides by their
        # number again. (clone: all_reduce writes in place, and the gradient may be used elsewhere.)
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad[dist.get_rank()]


def gather(z: Tensor) -> Tensor:
    """Embeddings of all processes, with gradient: (V, B, D) -> (V, world * B, D), in order of rank within a view.

    A loss over all of them on every process has, under DDP, the gradient that one process with all images would have.
    """
    if world_size() == 1:
        return z
    parts = _Gather.apply(z.contiguous())  # (world, V, B, D)
    return parts.transpose(0, 1).flatten(1, 2)


@torch.no_grad()
def gather_rows(x: Tensor) -> Tensor:
    """Rows of all processes, without gradient: (N, ...) -> (world * N, ...) in order of rank; N is the same on all."""
    if world_size() == 1:
        return x.detach()
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


@torch.no_grad()
def over_shuffled(network: Callable[[Tensor], Tensor], x: Tensor, step: float) -> Tensor:
    """network(x) with the images of all processes shuffled between them, and their outputs returned.

    MoCo, arXiv:1911.05722, sec. 3.3: BatchNorm then sees a query and its key among other images. In one process, where
    all images are normalised together anyway, it is network(x).

    Args:
        network: images (B, ...) -> outputs (B, D).
        x: (B, ...) of this process.
        step: optimiser steps done, which seed the order, the same on every process; infinity counts as 0.
    """
    if world_size() == 1:
        return network(x)
    images = gather_rows(x)  # (W*B, ...)
    seed = int(step) if math.isfinite(step) else 0
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    mine = order.view(world_size(), -1)[rank()].to(x.device)
    out = gather_rows(network(images[mine]))  # (W*B, D), in the shuffled order
    back = order.argsort().view(world_size(), -1)[rank()].to(x.device)
    return out[back]


@torch.no_grad()
def mean_over_ranks(x: Tensor) -> Tensor:
    """The mean over processes of a tensor of any shape, without gradient."""
    if world_size() == 1:
        return x.detach()
    x = x.detach().clone()
    dist.all_reduce(x)
    return x / world_size()


@torch.no_grad()
def share_over_ranks(right: Tensor) -> Tensor:
    """The share of True, float32, among the bool entries (N,) of all processes; N may differ, and be 0 on some."""
    if world_size() == 1:
        return right.float().mean()
    found, count = mean_over_ranks(torch.stack([right.sum().float(), right.new_tensor(len(right), dtype=torch.float)]))
    return found / count


def equal_buffers(module: nn.Module) -> list[str]:
    """Names of the buffers that are equal on all processes by construction, as queues of gathered embeddings.

    A module names its own in `equal_on_ranks`. DistributedDataParallel would send them from rank 0 before each step; it
    leaves out those that the wrapped module names in `_ddp_params_and_buffers_to_ignore`.
    """
    parts = [(f"{prefix}." if prefix else "", part) for prefix, part in module.named_modules()]
    return [prefix + name for prefix, part in parts for name in getattr(part, "equal_on_ranks", ())]


@torch.no_grad()
def average_gradients(module: nn.Module) -> None:
    """Replace each gradient of a module that DDP does not wrap by its mean over processes."""
    if world_size() == 1:
        return
    for p in module.parameters():
        if p.grad is not None:
            dist.all_reduce(p.grad)
            p.grad /= world_size()


def dismiss_others(seconds: float = 120.0) -> None:
    """End the processes that wait for this one, rank 0, which ends before it has met them.

    For processes that were started by hand: they would wait half an hour, where torchrun and srun end them. They meet
    a store that vanishes when this process ends. Waits for them up to so many seconds.
    """
    by_hand = {"MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"} <= os.environ.keys()
    if not dist.is_available() or dist.is_initialized() or dist.is_torchelastic_launched() or not by_hand:
        return
    world, port = os.environ.get("WORLD_SIZE", "1"), os.environ["MASTER_PORT"]
    if not (world.isdigit() and port.isdigit() and int(world) > 1):
        return
    print(
        f"waiting up to {seconds:.0f} s for the other processes of this run, to end them", file=sys.stderr, flush=True
    )
    with contextlib.suppress(RuntimeError, ValueError):  # nobody came, or the port is in use
        dist.TCPStore(os.environ["MASTER_ADDR"], int(port), int(world), True, timedelta(seconds=seconds))


def lost_peer(error: RuntimeError) -> bool:
    """Whether processes could not communicate since one of them is gone; in the words of gloo, NCCL and stores."""
    words = ("connection closed", "connection reset", "broken pipe", "remote process exited", "failed to recv")
    several = world_size() > 1 or (dist.is_available() and isinstance(error, dist.DistError))  # which may not have met
    return several and any(word in str(error).lower() for word in words)


def not_met(error: RuntimeError) -> str:
    """In words, why processes could not meet at MASTER_ADDR and MASTER_PORT; "" for any other error."""
    if not (dist.is_available() and isinstance(error, dist.DistError)):
        return ""
    where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    if "EADDRINUSE" in str(error):
        return f"MASTER_PORT is in use on this machine ({where}), maybe by another run; choose another port"
    if "timed out" in str(error) and "connect" in str(error):
        return f"process 0 cannot be reached at {where}; check MASTER_ADDR and MASTER_PORT, and that process 0 runs"
    return ""
