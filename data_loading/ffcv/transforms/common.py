"""Squeeze, as in FFCV."""

from __future__ import annotations

from torch import Tensor

from data_loading.ffcv.pipeline.operation import Moment, TensorOp


class Squeeze(TensorOp):
    """Remove dimensions of size 1: those given, else all except the batch's. FFCV removes that of 1, too."""

    def __init__(self, *dims: int):
        self.dims = dims

    def run(self, x: Tensor, at: Moment) -> Tensor:
        return x.squeeze(self.dims or tuple(range(1, x.ndim)))
