"""What all ops share: probability, the names of their random streams, and checks of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from data_loading.config.described import Described
from data_loading.config.registry import Registry
from data_loading.errors import ViewError
from data_loading.kernel.jit import jit
from data_loading.kernel.rng import checked_seed, integer, uniform
from data_loading.kernel.simd import LANES, load, store

OPS = Registry("op")

PARAMS = 12  # numbers that an op may pass to the function that samples its steps


class Streamed(Described):
    """What has a random stream of its own, which `set_stream` sets: an op, a crop, or what mixes a batch."""

    name: str | None
    share: str | None
    seed: int | None
    fixed: bool


class Op(Streamed):
    """An augmentation that is applied to a view with probability `p`, decided for each sample.

    name:  names the random stream; without it the stream is named by view, op and occurrence.
    share: ops with equal `share` names get equal random numbers in every view of a sample.
    seed:  used in place of the run's seed.
    fixed: leaves the epoch out, so that a sample is treated alike in every epoch.
    """

    rule: int  # which function samples its steps: the code in program.draw

    def __init__(
        self,
        p: float = 1.0,
        name: str | None = None,
        share: str | None = None,
        seed: int | None = None,
        fixed: bool = False,
    ):
        self.p = within(self, "p", p, 0.0, 1.0)
        set_stream(self, name, share, seed, fixed)

    @property
    def steps(self) -> int:
        """How many steps of a program this op writes at most; a plan has room for so many, and it is not checked."""
        return 1

    @property
    def writes(self) -> tuple[int, ...]:
        """Codes of the steps that this op may write, at least of those with an image kernel, which gets compiled."""
        return (self.rule,)

    def kernel_address(self) -> int:
        """Address of the compiled user kernel; 0 for built-in ops."""
        return 0

    def params(self) -> list[float]:
        """Up to PARAMS plain numbers, passed to the function that samples the op's steps."""
        return []


def set_stream(op: Streamed, name: str | None, share: str | None, seed: int | None, fixed: bool) -> None:
    """Check and set name, share, seed and fixed, which choose the random stream of an op, crop or Mixing.

    ViewError for an empty or reserved name, a wrong type, or a seed out of range.
    """
    for what, value in (("name", name), ("share", share)):
        if value is not None and not (isinstance(value, str) and value):
            raise ViewError(f"{type(op).__name__}: {what} is {value!r}; it must be a word")
    if name in ("crop", "strategy"):
        raise ViewError(
            f"{type(op).__name__}: name is {name!r}, the stream of a view's box or strategy; choose another"
        )
    op.name, op.share, op.fixed = name, share, flag(op, "fixed", fixed)
    op.seed = None if seed is None else checked_seed(seed, f"seed of {type(op).__name__}")


def magnitude_params(
    op: object, name: str, value: float | tuple[float, float], low: float, high: float, bins: int, about: float | None
) -> list[float]:
    """Check a magnitude and return the five numbers from which `magnitude` samples it.

    value: a number, or an interval (a, b) in either order; all within [low, high], else ViewError.
    bins: 0 samples uniformly from the interval; n >= 2 samples one of n equidistant values, both ends included.
    about: with probability 1/2 the sampled x becomes 2 about - x; None: never.
    """
    ends = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(ends) != 2 or not all(is_number(end) and low <= end <= high for end in ends):
        raise ViewError(
            f"{type(op).__name__}: {name} is {value!r}; it must be a number, or a pair of numbers, "
            f"from {low:g} to {high:g}"
        )
    if not isinstance(bins, int) or bins != 0 and not 2 <= bins <= 1 << 20:
        raise ViewError(f"{type(op).__name__}: bins is {bins!r}; it must be 0 (any number) or an integer from 2 on")
    return [float(ends[0]), float(ends[1]), float(bins), float(about is not None), float(about or 0.0)]


@jit
def magnitude(params, state):
    """Sample a magnitude, float64. params[:5]: from magnitude_params.  state: random state of kernel/rng.py."""
    low, high, bins = params[0], params[1], int(params[2])
    value = uniform(state, low, high) if bins == 0 else low + (high - low) * integer(state, bins) / (bins - 1)
    if params[3] > 0.0 and uniform(state, 0.0, 1.0) < 0.5:
        value = 2.0 * params[4] - value
    return value


@jit
def copy_plane(source, target):
    """Copy source to target, float32 (3, H, W). (numba takes seconds to compile an assignment of slices.)"""
    a, b, i = source.reshape(-1), target.reshape(-1), 0
    while i + LANES <= a.size:
        store(b, i, load(a, i))
        i += LANES
    while i < a.size:
        b[i] = a[i]
        i += 1


def is_number(value: object) -> bool:
    """Whether value is a real number of Python or NumPy, and no bool; True for NaN, which no range contains."""
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_)


def within(op: object, name: str, value: float, low: float, high: float) -> float:
    """Check that `value` is a number in [low, high] and return it as a float; the ViewError names op and argument."""
    if not is_number(value) or not low <= value <= high:
        raise ViewError(f"{type(op).__name__}: {name} is {value!r}; it must be a number from {low:g} to {high:g}")
    return float(value)


def whole(op: object, name: str, value: int, low: int, high: int) -> int:
    """Check that `value` is an integer in [low, high] and return it; the ViewError names op and argument."""
    if not is_number(value) or not low <= value <= high or value != int(value):
        raise ViewError(f"{type(op).__name__}: {name} is {value!r}; it must be an integer from {low} to {high}")
    return int(value)


def flag(op: object, name: str, value: bool) -> bool:
    """Check that `value` is True or False and return it; the ViewError names op and argument."""
    if not isinstance(value, bool | np.bool_):
        raise ViewError(f"{type(op).__name__}: {name} is {value!r}; it must be true or false")
    return bool(value)


def interval(op: object, name: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """Check that `value` is a pair with low <= first <= second <= high; the ViewError names op and argument."""
    pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if len(pair) != 2 or not all(map(is_number, pair)) or not low <= pair[0] <= pair[1] <= high:
        raise ViewError(
            f"{type(op).__name__}: {name} is {value!r}; it must be two numbers, {low:g} <= first <= second <= {high:g}"
        )
    return float(pair[0]), float(pair[1])
