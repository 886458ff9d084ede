"""Operations on whole batches, in Python, in the pipeline's order; torch does the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.errors import ViewError
from data_loading.ffcv.pipeline.operation import Moment, TensorOp
from data_loading.ops.base import is_number


class ToTensor(TensorOp):
    """Does nothing: values are tensors from the start; images are (B, H, W, 3) until ToTorchImage."""

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return x


class ToDevice(TensorOp):
    """Copy to a device. With CUDA batches are page-locked, and not overwritten before the copy is done."""

    def __init__(self, device: Any, non_blocking: bool = True):
        self.device, self.non_blocking = device, non_blocking

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return x.to(self.device, non_blocking=self.non_blocking)


class ToTorchImage(TensorOp):
    """Images (B, H, W, 3) -> (B, 3, H, W), in memory channels_last or contiguous.

    convert_back_int16: FFCV's float16 travels as int16; here it is float16 from the start.
    """

    def __init__(self, channels_last: bool = True, convert_back_int16: bool = True):
        self.channels_last = channels_last

    def run(self, x: Tensor, at: Moment) -> Tensor:
        if x.ndim != 4:
            raise ViewError(f"ToTorchImage takes images (B, H, W, 3), got {tuple(x.shape)}")
        form = torch.channels_last if self.channels_last else torch.contiguous_format
        return x.permute(0, 3, 1, 2).contiguous(memory_format=form)


class Convert(TensorOp):
    """Convert the values to a dtype of torch or NumPy."""

    def __init__(self, target_dtype: Any):
        self.target = as_torch_dtype(target_dtype)

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return x.to(self.target)


class View(TensorOp):
    """Tensor.view: reinterpret the bytes as another dtype, or change the shape."""

    def __init__(self, target_dtype: Any):
        whole = isinstance(target_dtype, int | Sequence) and not isinstance(target_dtype, str)
        self.target = target_dtype if whole else as_torch_dtype(target_dtype)

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return x.contiguous().view(self.target)


class NormalizeImage(TensorOp):
    """(x - mean) / std per channel, three numbers each in units of 0..255, as a dtype of NumPy or torch; any device."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], type: Any):
        try:
            self.mean, self.std = (torch.as_tensor(np.asarray(x, np.float64), dtype=torch.float32) for x in (mean, std))
            fits = self.mean.shape == self.std.shape == (3,) and bool(self.mean.isfinite().all() & (self.std > 0).all())
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise ViewError(f"NormalizeImage: mean {mean!r} and std {std!r} need three numbers each, std above 0")
        self.type = as_torch_dtype(type)
        self._copies: dict[torch.device, tuple[Tensor, Tensor]] = {}  # a copy in each batch would wait for a GPU

    def run(self, x: Tensor, at: Moment) -> Tensor:
        if x.device not in self._copies:
            self._copies[x.device] = self.mean.to(x.device), self.std.to(x.device)
        mean, std = (v.reshape((3, 1, 1) if at.channels == 1 else (3,)) for v in self._copies[x.device])
        return ((x.float() - mean) / std).to(self.type)


class ReplaceLabel(TensorOp):
    """Replace the label of the rows `indices` of the file by new_label."""

    def __init__(self, indices: Sequence[int], new_label: int):
        rows = np.asarray(indices)
        if rows.size and rows.dtype.kind not in "iu":
            raise ViewError(f"ReplaceLabel: indices are {indices!r}; they are rows of the file, integers")
        if not is_number(new_label):
            raise ViewError(f"ReplaceLabel: new_label is {new_label!r}; it is a number")
        self.indices, self.new_label = torch.as_tensor(rows.astype(np.int64)), new_label

    def run(self, x: Tensor, at: Moment) -> Tensor:
        chosen = torch.isin(at.batch.index, self.indices).to(x.device)
        return torch.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), torch.as_tensor(self.new_label, dtype=x.dtype), x)


class ModuleWrapper(TensorOp):
    """Call a torch.nn.Module with the batch (B, ...); one that samples does so once for the whole batch."""

    def __init__(self, module: nn.Module):
        self.module = module

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return self.module(x.contiguous() if at.channels == -1 else x)


def as_torch_dtype(dtype: Any) -> torch.dtype:
    """The dtype of torch for one of torch or NumPy; ViewError where torch has none."""
    try:
        return dtype if isinstance(dtype, torch.dtype) else torch.from_numpy(np.empty(0, dtype)).dtype
    except TypeError as error:
        raise ViewError(f"{dtype!r} is no dtype that torch has: {error}") from None
