"""The kinds of operations in a pipeline. They are translated into data_loading.ops, which do the work on pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from data_loading.batch import Batch
from data_loading.errors import ViewError
from data_loading.ops.base import Op, is_number
from data_loading.ops.crop import Crop
from data_loading.views.plan import Plan

OWN_OP = "an op of one's own is an OwnOp, which a pipeline takes like any other op; docs/own_ops.md has an example"
LARGEST = 1 << 14  # pixels: a view's side for which an operation is checked when it is made


class Operation:
    """FFCV's base class of all operations. A pipeline takes only this package's; your own is an OwnOp."""


class Seeded(Operation):
    """An operation with a stream of random numbers: operations of one class and one `seed` sample the same numbers."""

    seed: int | None = None

    @property
    def stream(self) -> dict[str, Any]:
        """The arguments that give our op or crop this stream."""
        return {} if self.seed is None else {"share": f"ffcv/{type(self).__name__}", "seed": self.seed}


class ImageDecoder(Seeded, ABC):
    """The box of the image that becomes a view, and the view's size."""

    interpolation: str | None = None  # "bilinear" or "bicubic"; None: as the other pipelines
    second_seed: int | None = None  # the seed of the crop that this crop must not overlap

    @abstractmethod
    def side(self, height: np.ndarray, width: np.ndarray) -> int:
        """Side of the view in pixels; height, width (N,) are those of all images of the file, in pixels."""

    @abstractmethod
    def crop(self) -> Crop:
        """Our rule for the box; ViewError for arguments out of range."""


class ImageOp(Seeded, ABC):
    """An augmentation of the view.

    Arguments that suit no size of view are a ViewError at once, those that do not suit this view when a loader is made.
    """

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self.ops(LARGEST)

    @abstractmethod
    def ops(self, side: int) -> list[Op]:
        """The ops of data_loading.ops for a view of `side` x `side` pixels."""


@dataclass
class Moment:
    """Context passed to tensor ops.

    batch: the batch.  seed, epoch: keys of what is sampled for a whole batch.  channels: the dimension of colours, -1
    or 1.  labels: the least and the largest label that LabelMixup has seen; None where that would wait for a GPU.
    """

    batch: Batch
    seed: int
    epoch: int
    channels: int = -1
    labels: tuple[int, int] | None = None


class TensorOp(Operation, ABC):
    """An operation on the whole batch of a field, in Python."""

    @abstractmethod
    def run(self, x: Tensor, at: Moment) -> Tensor:
        """The values of a field (B, ...) -> new values (B, ...)."""


class FieldDecoder(Operation):
    """Turns a field that is not an image into a tensor; `kinds`: the values of `Field.kind` that it accepts."""

    kinds: tuple[str, ...] = ()


class LabelOp(Operation, ABC):
    """The numbers that an image operation has sampled, as labels.

    twin: an operation with the seed and arguments of the one whose numbers are read from the plan.
    """

    dtype = np.float32
    codes: tuple[int, ...] = ()  # codes of steps or rules that only one operation of the pipeline may write
    twin: Seeded

    @abstractmethod
    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Columns (B, k) of the numbers of view `view`; height, width (B,) of the images, in pixels."""


def square(name: str, output_size: int | Sequence[int]) -> int:
    """The side, in pixels, of FFCV's output_size: a number or an equal (height, width); else a ViewError."""
    sides = (output_size,) * 2 if is_number(output_size) else as_tuple(output_size)
    whole = isinstance(sides, tuple) and all(is_number(side) and side >= 1 and side % 1 == 0 for side in sides)
    if not whole or len(sides) != 2 or sides[0] != sides[1]:
        raise ViewError(f"{name}: output_size is {output_size!r}; views are square here, whole pixels as (224, 224)")
    return int(sides[0])


def as_tuple(values: Any) -> Any:
    """A sequence of numbers as a tuple; anything else unchanged, so that our op refuses it with its own message."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else values


def refused(name: str, why: str) -> type[Operation]:
    """A class of FFCV's name whose construction is a ViewError: scripts import names that they never use.

    why: what is not offered, and what to use instead.
    """
    message = f"{name} of FFCV is not offered: {why}"

    def refuse(self, *args, **kwargs):
        raise ViewError(message)

    return type(name, (Operation,), {"__init__": refuse, "__doc__": message, "__module__": __name__})


AllocationQuery, State = (refused(name, OWN_OP) for name in ("AllocationQuery", "State"))
