"""Rehearse a training step on a `cuda` device that is not there, and raise where the host would wait for it.

Fake tensors have a shape, a dtype and a device, and no memory. torch refuses by itself to mix two devices, to read a
value (`.item()`, `if tensor:`), and shapes that depend on values (indexing by a mask, `nonzero`, `unique`). `Watched`
adds what torch runs, and what on a real device waits all the same: copies between the host and the device that are not
asked for as `non_blocking`, and tensors made on the device from numbers of Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)
MADE_FROM_NUMBERS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class Waits(AssertionError):
    """The host would wait here for the device."""


class _Copies(TorchDispatchMode):
    """Refuses copies and indices for which the host waits; counts the elements of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket
        if name is aten._to_copy:
            self._copied(args[0].device, torch.device(kwargs.get("device") or args[0].device), kwargs)
        elif name is aten.copy_:
            self._copied(args[1].device, args[0].device, {"non_blocking": len(args) > 2 and args[2], **kwargs})
        elif name is aten._local_scalar_dense and args[0].is_cuda:
            raise Waits("a value is read")
        elif name in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_) and args[0].is_cuda:
            for index in filter(lambda one: isinstance(one, Tensor), args[1]):
                if not index.is_cuda:
                    raise Waits("an index on the host is copied to the device")
                if index.dtype in (torch.bool, torch.uint8) and (name is aten.index or args[2].numel() != 1):
                    raise Waits("a mask is turned into positions")
        out = func(*args, **kwargs)
        if not func.is_view and isinstance(out, Tensor) and not any(out is x for x in args):
            self.largest = max(self.largest, out.numel())
        return out

    @staticmethod
    def _copied(source: torch.device, to: torch.device, kwargs: dict[str, Any]) -> None:
        if "cuda" in (source.type, to.type) and source.type != to.type and not kwargs.get("non_blocking"):
            raise Waits(f"a copy from {source.type} to {to.type} is not non_blocking")


class _Numbers(TorchFunctionMode):
    """Refuses tensors that are made on the device from numbers of Python, which are copied there."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func in MADE_FROM_NUMBERS and out.is_cuda and not isinstance(args[-1], Tensor):
            raise Waits(f"{func.__name__} copies numbers to the device")
        return out


class Rehearsal:
    """A device that is not there: `with rehearsal.watched():` runs code on it."""

    def __init__(self) -> None:
        self.mode = FakeTensorMode(allow_non_fake_inputs=False)

    def tensor(self, like: Tensor) -> Tensor:
        """A fake on the device of a tensor's shape, strides and dtype."""
        with self.mode:
            return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=CUDA)

    def module(self, module: nn.Module) -> nn.Module:
        """Move a module to the device, as `module.cuda()` would."""
        for part in module.modules():  # nn.Module._apply cannot swap real tensors for fake ones
            for name, p in part._parameters.items():
                if p is not None:
                    part._parameters[name] = nn.Parameter(self.tensor(p), requires_grad=p.requires_grad)
            for name, b in part._buffers.items():
                if b is not None:
                    part._buffers[name] = self.tensor(b)
        return module

    @contextmanager
    def watched(self) -> Iterator[_Copies]:
        with self.mode, _Copies() as copies, _Numbers():
            yield copies


def waits(run: Callable[[], Any]) -> str:
    """Why the host would wait while this runs; "" where it would not. Another error is raised as it is."""
    try:
        run()
    except Waits as why:
        return str(why)
    except DataDependentOutputException as why:
        return f"a value is read ({why.func})"
    except DynamicOutputShapeException as why:
        return f"a shape depends on values ({why.func})"
    return ""
