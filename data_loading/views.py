"""View sets: which views are drawn of each image, and from which boxes.

A `ViewSet` lists `View`s. Written short, it takes every strategy on every crop, strategy-major, globals before locals:
`ViewSet(strategies=["simclr", "byol"], crops=2, shared_crops=True)` draws 4 views on 2 boxes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from data_loading.errors import UnknownName, ViewError
from data_loading.ops.base import Op
from data_loading.ops.crop import Crop, RandomResizedCrop
from data_loading.ops.resize import INTERPOLATIONS
from data_loading.registry import Registry
from data_loading.strategies import STRATEGIES, Strategy, strategy

VIEW_SETS = Registry("view set")  # name -> function of the global size (None: its own) that returns a ViewSet


@dataclass(frozen=True)
class View:
    """One augmented image: `crop` numbers its box (equal numbers share one), `variant` the strategy's list of ops."""

    name: str
    role: str  # "global" or "local"
    size: int
    crop: int
    strategy: str
    variant: int


class ViewSet:
    """The views drawn of each image.

    strategies:   names or Strategy objects; each is applied to each crop.
    crops, size:  number and side (pixels) of the global crops; the size is the first strategy's unless said.
    shared_crops: the strategies share the boxes (drawn by the first strategy's rule), else each view has its own.
    local, local_size: number and side of the local crops of multi-crop.
    crop_scale, crop_ratio: area and aspect of the global boxes in place of the strategies' own.
    interpolation: "bilinear" or "bicubic", both antialiased.
    disjoint: of each pair of global crops (0 and 1, 2 and 3, ...) the second does not overlap the first, where it can.
    """

    def __init__(
        self,
        strategies: list[str | Strategy],
        crops: int = 2,
        size: int | None = None,
        shared_crops: bool = False,
        local: int = 0,
        local_size: int = 96,
        crop_scale: tuple[float, float] | None = None,
        crop_ratio: tuple[float, float] | None = None,
        interpolation: str = "bilinear",
        disjoint: bool = False,
    ):
        if interpolation not in INTERPOLATIONS:
            raise ViewError(f"interpolation is {interpolation!r}; choose one of {', '.join(INTERPOLATIONS)}")
        self.interpolation, self.disjoint = interpolation, disjoint
        if not strategies or isinstance(strategies, str):
            raise ViewError(f"strategies is {strategies!r}; a view set needs a list of at least one, as [simclr, byol]")
        self.strategies = [strategy(s) for s in strategies]
        self.size = self.strategies[0].size if size is None else size
        self.crops, self.shared_crops, self.local, self.local_size = crops, shared_crops, local, local_size
        self.crop_scale, self.crop_ratio = crop_scale, crop_ratio
        if disjoint and any(not isinstance(s.crop, RandomResizedCrop) for s in self.strategies):
            raise ViewError("disjoint needs strategies that crop at random by RandomResizedCrop")
        if crops < 0 or local < 0 or crops + local == 0:
            raise ViewError(f"a view set needs at least one crop; crops is {crops}, local is {local}")
        for what, side in (("size", self.size), ("local_size", local_size)):
            if not 1 <= side <= 4096:
                raise ViewError(f"{what} is {side}; views have sides of 1 to 4096 pixels")
        self._rules: list[Crop] = []  # by crop number
        self._partners: list[int] = []  # the crop that each one must not overlap; -1: none
        self._ops: list[list[Op]] = []  # by view
        self.views: list[View] = []
        for role, count, side in (("global", crops, self.size), ("local", local, local_size)):
            self._add(role, count, side)

    def _add(self, role: str, count: int, size: int) -> None:
        first = len(self._rules)
        names = [s.name for s in self.strategies]
        for at, one in enumerate(self.strategies):
            rule = self._rule(one, role)
            again = names[:at].count(one.name)
            label = one.name + (f"#{again + 1}" if again else "")
            for c in range(count):
                if at == 0 or not self.shared_crops:
                    self._rules.append(rule)
                    self._partners.append(len(self._rules) - 2 if self.disjoint and role == "global" and c % 2 else -1)
                crop = first + c if self.shared_crops else len(self._rules) - 1
                name = f"{label}.{'local' if role == 'local' else ''}{c}"
                self.views.append(View(name, role, size, crop, one.name, c % len(one.variants)))
                self._ops.append(one.ops(role, c))

    def _rule(self, one: Strategy, role: str) -> Crop:
        rule = one.local_crop if role == "local" else one.crop
        if role == "local" or (self.crop_scale is None and self.crop_ratio is None):
            return rule
        if not isinstance(rule, RandomResizedCrop):
            raise ViewError(f"crop_scale and crop_ratio do not fit strategy {one.name!r}, which crops at the centre")
        return RandomResizedCrop(self.crop_scale or rule.scale, self.crop_ratio or rule.ratio)

    def __len__(self) -> int:
        return len(self.views)

    def __repr__(self) -> str:
        return f"ViewSet({', '.join(v.name for v in self.views)}; size {self.size})"

    def ops(self, view: int) -> list[Op]:
        return self._ops[view]

    def crop_rule(self, crop: int) -> Crop:
        return self._rules[crop]

    def crop_partner(self, crop: int) -> int:
        """The crop that this one must not overlap, -1 for none."""
        return self._partners[crop]

    def crop_stream(self, crop: int) -> str:
        """The name of the random stream of a box: its number when strategies share it, else its view."""
        return f"crop{crop}" if self.shared_crops else f"{self.views[crop].name}/crop"

    def groups(self) -> list[tuple[int, list[int]]]:
        """The sides of the views and, for each, the numbers of its views: one block of memory each."""
        sizes = sorted({v.size for v in self.views}, key=lambda s: [v.size for v in self.views].index(s))
        return [(s, [i for i, v in enumerate(self.views) if v.size == s]) for s in sizes]

    def with_size(self, size: int | None) -> ViewSet:
        """The same with global views of another side."""
        return self if size is None else ViewSet(**{**self._arguments(), "size": size})

    def _arguments(self) -> dict:
        names = (
            "crops",
            "size",
            "shared_crops",
            "local",
            "local_size",
            "crop_scale",
            "crop_ratio",
            "interpolation",
            "disjoint",
        )
        return {"strategies": list(self.strategies), **{name: copy.copy(getattr(self, name)) for name in names}}

    def to_dict(self) -> dict:
        """Plain values, as a config holds them."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in self._arguments().items()}
        return {**plain, "strategies": [s.name for s in self.strategies]}

    @classmethod
    def from_dict(cls, values: dict) -> ViewSet:
        try:
            return cls(**{k: tuple(v) if k.startswith("crop_") and v is not None else v for k, v in values.items()})
        except (TypeError, ValueError) as error:
            raise ViewError(
                f"views: {error}; a view set is written as {', '.join(ViewSet(['simclr']).to_dict())}"
            ) from None


def get(which: str | ViewSet | dict, size: int | None = None) -> ViewSet:
    """A view set by name, as written in a config, or as it is; a strategy's name means two crops of it."""
    if isinstance(which, ViewSet):
        return which.with_size(size)
    if isinstance(which, dict):
        return ViewSet.from_dict(which).with_size(size)
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
