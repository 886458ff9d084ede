"""Growing views: the side of the global views by epoch, as {0: 160, 12: 192}: 160 pixels, and 192 from epoch 12 on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_loading.errors import ViewError
from data_loading.ops.base import is_number
from data_loading.strategies.strategy import LARGEST

Size = int | None | Mapping[int, int | None]  # pixels for all epochs, the view set's own, or pixels by first epoch


def by_epoch(size: Size) -> dict[int, int | None]:
    """Side in pixels by the first epoch that has it, from epoch 0 on, sorted; None for the view set's own.

    ViewError for a mapping that does not begin at epoch 0, or holds anything but whole numbers.
    """
    if not isinstance(size, Mapping):
        return {0: size}
    found: dict[int, int | None] = {}
    given: dict[Any, Any] = dict(size)
    for epoch, side in given.items():
        first = int(epoch) if isinstance(epoch, str) and epoch.isdecimal() else epoch  # keys of JSON are text
        for value, least, most in ((first, 0, 2**32 - 1), (side, 1, LARGEST)):
            if not is_number(value) or value != int(value) or not least <= value <= most:
                raise ViewError(
                    f"size is {dict(size)!r:.80}; write whole numbers, {{epoch: pixels}}, as {{0: 160, 12: 192}}, "
                    f"of at most {LARGEST} pixels"
                )
        found[int(first)] = int(side)
    if 0 not in found:
        raise ViewError(f"size is {dict(size)!r:.80}; it must say the size from epoch 0 on, as {{0: 160, 12: 192}}")
    return dict(sorted(found.items()))


def at(size: Size, epoch: int) -> int | None:
    """Side in pixels in an epoch, from 0."""
    if not isinstance(size, Mapping):
        return size
    sizes = by_epoch(size)
    return sizes[max(first for first in sizes if first <= epoch)]


def last(size: Size) -> int | None:
    """Side in pixels in the last epochs, which a run is evaluated at."""
    return list(by_epoch(size).values())[-1]
