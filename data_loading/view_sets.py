"""Named view sets, and view sets from what a config holds."""

from __future__ import annotations

from collections.abc import Sequence

from data_loading.errors import UnknownName
from data_loading.registry import Registry
from data_loading.strategies import STRATEGIES
from data_loading.views import ViewSet

VIEW_SETS = Registry("view set")  # name -> function of the global size (None: its own) that returns a ViewSet


def get(which: str | ViewSet | dict, size: int | None = None) -> ViewSet:
    """A view set by name, as written in a config, or as it is.

    A strategy's name means two crops of it; names with + between them, those strategies on two shared crops.
    """
    if isinstance(which, ViewSet):
        return which.with_size(size)
    if isinstance(which, dict):
        return ViewSet.from_dict(which).with_size(size)
    if "+" in which:
        return ViewSet(which.split("+"), crops=2, size=size, shared_crops=True)
    if which in VIEW_SETS:
        return VIEW_SETS[which](size)
    if which in STRATEGIES:
        return ViewSet([which], size=size)
    try:
        return VIEW_SETS[which]
    except UnknownName as error:
        try:
            STRATEGIES[which]
        except UnknownName as other:
            near = next((e for e in (error, other) if "Did you mean" in str(e)), error)
            names: Sequence[str] = sorted({*VIEW_SETS, *STRATEGIES})
            hint = str(near).partition(".")[2].partition(" Known:")[0]
            raise UnknownName(f"no view set or strategy named {which!r}.{hint} Known: {', '.join(names)}") from None
        raise


@VIEW_SETS.register
def massrl(size: int | None = None) -> ViewSet:
    """MASSRL: two crops, each under SimCLR's and BYOL's augmentation."""
    return ViewSet(["simclr", "byol"], crops=2, size=size, shared_crops=True)


@VIEW_SETS.register
def digits_massrl(size: int | None = None) -> ViewSet:
    """MASSRL on digits: two crops, each under a geometric strategy and under everything composed."""
    return ViewSet(["digits_affine", "digits_all"], crops=2, size=size, shared_crops=True)


@VIEW_SETS.register
def rrc(size: int | None = None) -> ViewSet:
    """One crop, resized and flipped: supervised training on ImageNet."""
    return ViewSet(["crop_flip"], crops=1, size=size)


@VIEW_SETS.register
def cifar(size: int | None = None) -> ViewSet:
    """One view, padded, cropped and flipped: supervised training on CIFAR-10."""
    return ViewSet(["pad_flip"], crops=1, size=size)


@VIEW_SETS.register
def multicrop(size: int | None = None) -> ViewSet:
    """Two global crops (area 0.14 to 1) and six local ones of 96 pixels, under SimCLR's augmentation."""
    return ViewSet(["simclr"], crops=2, size=size, local=6, local_size=96, crop_scale=(0.14, 1.0))


@VIEW_SETS.register(name="eval")
def evaluation(size: int | None = None) -> ViewSet:
    """One view without augmentation: the centre at 7/8 of the shorter side, the whole square up to 64 pixels."""
    return ViewSet(["whole" if size is not None and size <= 64 else "eval"], crops=1, size=size)
