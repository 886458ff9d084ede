"""The kinds of operations that a pipeline holds. What they do is said by our own ops; nothing here touches a pixel."""

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

LARGEST = 1 << 14  # pixels: a view's side for which an operation is checked when it is made


class Operation:
    """FFCV's base class of all operations. A pipeline takes those of this package; one of your own is an OwnOp."""


class Seeded(Operation):
    """An operation of the image with a stream of random numbers; those with one class and `seed` draw the same."""

    seed: int | None = None

    @property
    def stream(self) -> dict[str, Any]:
        """The arguments of our op or crop that say so."""
        return {} if self.seed is None else {"share": f"ffcv/{type(self).__name__}", "seed": self.seed}


class ImageDecoder(Seeded, ABC):
    """Which box of the image a view is made of, and its size."""

    interpolation: str | None = None  # as a view set has it; None: no wish
    second_seed: int | None = None  # of the crop that this one must not overlap

    @abstractmethod
    def side(self, height: np.ndarray, width: np.ndarray) -> int:
        """Side of the view in pixels; height, width (N,) of the images."""

    @abstractmethod
    def crop(self) -> Crop: ...


class ImageOp(Seeded, ABC):
    """An augmentation of the view. What suits no view is refused when it is made, the rest when a loader is."""

    def __init__(self, seed: int | None = None):
        self.seed = seed
        self.ops(LARGEST)

    @abstractmethod
    def ops(self, side: int) -> list[Op]:
        """Our ops for a view of `side` pixels."""


@dataclass
class Moment:
    """Which batch it is.

    seed, epoch: of what is drawn for the whole batch.  channels: the dimension of colours.  labels: the least and the
    largest that LabelMixup has seen, None where it would have had to wait for a GPU.
    """

    batch: Batch
    seed: int
    epoch: int
    channels: int = -1
    labels: tuple[int, int] | None = None


class TensorOp(Operation, ABC):
    """What is done to the whole batch of a field, in Python."""

    @abstractmethod
    def run(self, x: Tensor, at: Moment) -> Tensor:
        """x (B, ...)."""


class FieldDecoder(Operation):
    """How a field that is not an image becomes a tensor: one of `kinds`, as a file's fields name them."""

    kinds: tuple[str, ...] = ()


class LabelOp(Operation, ABC):
    """Numbers of an image operation, read from the plan: those of `twin`, which has the same seed and arguments."""

    dtype = np.float32
    codes: tuple[int, ...] = ()  # steps of a plan, or rules of ops, that nothing else in the pipeline may write
    twin: Seeded

    @abstractmethod
    def read(self, plan: Plan, view: int, height: np.ndarray, width: np.ndarray) -> np.ndarray:
        """Columns (B, k); height, width (B,) of the images."""


def square(name: str, output_size: int | Sequence[int]) -> int:
    """The side of FFCV's (height, width)."""
    sides = (output_size,) * 2 if is_number(output_size) else as_tuple(output_size)
    whole = isinstance(sides, tuple) and all(is_number(side) and side >= 1 and side % 1 == 0 for side in sides)
    if not whole or len(sides) != 2 or sides[0] != sides[1]:
        raise ViewError(f"{name}: output_size is {output_size!r}; views are square here, whole pixels as (224, 224)")
    return int(sides[0])


def as_tuple(values: Any) -> Any:
    """An array or another row of numbers as a tuple, all else as it is: our ops refuse that by its name."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else values
