"""View sets: which views are rendered of each image, and from which boxes.

A `ViewSet` lists `View`s: every strategy on every crop, all crops of a strategy one after the other, global crops
before local ones. `ViewSet(strategies=["simclr", "byol"], crops=2, shared_crops=True)` has 4 views on 2 boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from data_loading.config import yaml_text
from data_loading.config.described import argument_names, construct, plain
from data_loading.errors import ViewError, one_of
from data_loading.ops.base import OPS, Op, flag, whole
from data_loading.ops.choose import Choose
from data_loading.ops.crop import Crop, RandomResizedCrop
from data_loading.ops.resize import INTERPOLATIONS
from data_loading.strategies import Strategy, strategy
from data_loading.strategies.strategy import LARGEST

MOST = 255  # the most strategies (a plan numbers them by uint8), and the most crops of a role


@dataclass(frozen=True)
class View:
    """One augmented image.

    name: as in tables and plots.  size: side in pixels.  crop: number of its box; views of equal `crop` share a box.
    variant: index of its list of ops among the strategy's variants.
    """

    name: str
    role: str  # "global" or "local"
    size: int
    crop: int
    strategy: str
    variant: int


class ViewSet:
    """The views that are rendered of each image. ViewError for arguments that are wrong or do not go together.

    strategies:   names, {class_path, init_args} or Strategy objects, at least one; each is applied to each crop.
    crops, size:  number and side (pixels) of the global crops; size None takes the first strategy's.
    shared_crops: the strategies share the boxes, sampled by the first strategy's rule; else each view has a box.
    local, local_size: number and side (pixels) of the local crops of multi-crop.
    crop_scale, crop_ratio: ranges (low, high) of a global box's share of the image's area, and of its width / height;
        None takes the strategies' own.
    local_scale: the range of a local box's share of the image's area; None takes the strategies' own.
    interpolation: "bilinear" or "bicubic", both antialiased; None takes the first strategy's, else bilinear.
    disjoint: of each pair of global crops (0 and 1, 2 and 3, ...) the second does not overlap the first, if possible.
    assign: "all", every strategy on every crop; or "drawn", one strategy for each crop and sample, all equally likely,
        which `Plan.strategy` names; the boxes are then sampled by the first strategy's rule.
    own_sizes: the global views of each strategy have that strategy's size, and `size` must be None.
    """

    def __init__(
        self,
        strategies: Sequence[str | dict[str, Any] | Strategy],
        crops: int = 2,
        size: int | None = None,
        shared_crops: bool = False,
        local: int = 0,
        local_size: int = 96,
        crop_scale: tuple[float, float] | None = None,
        crop_ratio: tuple[float, float] | None = None,
        local_scale: tuple[float, float] | None = None,
        interpolation: str | None = None,
        disjoint: bool = False,
        assign: str = "all",
        own_sizes: bool = False,
    ):
        if not isinstance(strategies, Sequence) or isinstance(strategies, str) or not strategies:
            raise ViewError(f"strategies is {strategies!r}; a view set needs a list of at least one, as [simclr, byol]")
        if len(strategies) > MOST:
            raise ViewError(f"a view set takes at most {MOST} strategies; {len(strategies)} are given")
        self.strategies = [strategy(s) for s in strategies]
        first = self.strategies[0]
        self.size = whole(self, "size", first.size if size is None else size, 1, LARGEST)
        self.local_size = whole(self, "local_size", local_size, 1, LARGEST)
        self.crops, self.local = whole(self, "crops", crops, 0, MOST), whole(self, "local", local, 0, MOST)
        self.shared_crops, self.disjoint = flag(self, "shared_crops", shared_crops), flag(self, "disjoint", disjoint)
        self.own_sizes = flag(self, "own_sizes", own_sizes)
        self.crop_scale, self.crop_ratio = plain(crop_scale, OPS), plain(crop_ratio, OPS)
        self.local_scale = plain(local_scale, OPS)
        chosen = (first.interpolation or "bilinear") if interpolation is None else interpolation
        self.interpolation = one_of("ViewSet: interpolation", chosen, INTERPOLATIONS, ViewError)
        self.assign = one_of("ViewSet: assign", assign, ("all", "drawn"), ViewError)
        if self.own_sizes and size is not None:
            raise ViewError(f"own_sizes does not go with a size ({size}); give each strategy its own, or leave one out")
        self._check()
        self._rules: list[Crop] = []  # by crop
        self._partners: list[int] = []  # by crop: the crop that it must not overlap; -1: none
        self._programs: list[list[list[Op]]] = []  # by view: the ops of its strategy, or of each that may be sampled
        self._numbers: list[int] = []  # by view: the index of its strategy; -1 where it is sampled
        self.views: list[View] = []
        for role, count, side in (("global", self.crops, self.size), ("local", self.local, self.local_size)):
            self._add(role, count, side)

    def _check(self) -> None:
        crops, local = self.crops, self.local
        if self.disjoint and any(not isinstance(s.crop, RandomResizedCrop) for s in self.strategies):
            raise ViewError("disjoint needs strategies that crop at random by RandomResizedCrop")
        if crops + local == 0:
            raise ViewError(f"a view set needs at least one crop; crops is {crops}, local is {local}")
        if self.own_sizes and (self.assign == "drawn" or self.shared_crops):
            raise ViewError(
                "own_sizes does not go with shared_crops or assign: drawn, where views of all strategies are alike"
            )

    def _add(self, role: str, count: int, size: int) -> None:
        first = len(self._rules)
        names = [s.name for s in self.strategies]
        drawn = self.assign == "drawn"
        for at, one in enumerate(self.strategies[:1] if drawn else self.strategies):
            rule = self._rule(one, role)
            again = names[:at].count(one.name)
            label = "drawn" if drawn else one.name + (f"#{again + 1}" if again else "")
            side = one.size if self.own_sizes and role == "global" else size
            for c in range(count):
                if at == 0 or not self.shared_crops:
                    self._rules.append(rule)
                    self._partners.append(len(self._rules) - 2 if self.disjoint and role == "global" and c % 2 else -1)
                crop = first + c if self.shared_crops else len(self._rules) - 1
                name = f"{label}.{'local' if role == 'local' else ''}{c}"
                variant = c % len(one.variants)
                self.views.append(View(name, role, side, crop, "drawn" if drawn else one.name, 0 if drawn else variant))
                self._programs.append([s.ops(role, c) for s in (self.strategies if drawn else [one])])
                self._numbers.append(-1 if drawn else at)

    def _rule(self, one: Strategy, role: str) -> Crop:
        rule = one.local_crop if role == "local" else one.crop
        scale, ratio = (self.local_scale, None) if role == "local" else (self.crop_scale, self.crop_ratio)
        if scale is None and ratio is None:
            return rule
        if not isinstance(rule, RandomResizedCrop):
            what, crop = (
                ("local_scale does", "local crop") if role == "local" else ("crop_scale and crop_ratio do", "crop")
            )
            raise ViewError(
                f"{what} not fit strategy {one.name!r}, whose {crop} is {type(rule).__name__}; leave them out, or "
                "give it RandomResizedCrop"
            )
        return RandomResizedCrop(
            rule.scale if scale is None else scale,
            rule.ratio if ratio is None else ratio,
            name=rule.name,
            share=rule.share,
            seed=rule.seed,
            fixed=rule.fixed,
        )

    def __len__(self) -> int:
        return len(self.views)

    def __repr__(self) -> str:
        return f"ViewSet({', '.join(v.name for v in self.views)}; size {self.size})"

    def programs(self, view: int) -> list[list[Op]]:
        """The ops of a view: of its strategy, or with assign="drawn" of each strategy, in the order of `strategies`."""
        return self._programs[view]

    def all_ops(self) -> Iterator[Op]:
        """Every op of every view, and the ops inside each Choose."""
        for op in (op for program in self._programs for ops in program for op in ops):
            yield op
            if isinstance(op, Choose):
                yield from (inner for policy in op.policies for inner in policy)

    def strategy_number(self, view: int) -> int:
        """The index in `strategies` of a view's strategy; -1 if it is sampled for each sample (assign="drawn")."""
        return self._numbers[view]

    def op_stream(self, strategy: int, op: str) -> str:
        """The name of an op's random stream within its view; strategy: index of the op's strategy in `strategies`."""
        return f"{strategy}/{op}" if self.assign == "drawn" else op

    def crop_rule(self, crop: int) -> Crop:
        """The rule by which the box of this crop is sampled."""
        return self._rules[crop]

    def crop_partner(self, crop: int) -> int:
        """The crop that this crop must not overlap; -1 for none."""
        return self._partners[crop]

    def crop_stream(self, crop: int) -> str:
        """The name of a box's random stream: after the crop's number if strategies share boxes, else after its view."""
        rule = self._rules[crop]
        if rule.share is not None:
            return f"share/crop/{rule.share}"
        if rule.name is not None:
            return f"crop{crop}/{rule.name}" if self.shared_crops else f"{self.views[crop].name}/crop/{rule.name}"
        return f"crop{crop}" if self.shared_crops else f"{self.views[crop].name}/crop"

    def groups(self) -> list[tuple[int, list[int]]]:
        """(side in pixels, indices of the views of this side) for each side: a batch has a block of memory for each."""
        sizes = sorted({v.size for v in self.views}, key=lambda s: [v.size for v in self.views].index(s))
        return [(s, [i for i, v in enumerate(self.views) if v.size == s]) for s in sizes]

    def with_size(self, size: int | None) -> ViewSet:
        """This view set with another side of the global views, in pixels; None: itself. ViewError with own_sizes."""
        return self if size is None else ViewSet(**{**self._arguments(), "size": size})

    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, from the attributes of equal names; size is None with own_sizes."""
        found = {name: getattr(self, name) for name in argument_names(ViewSet)}
        return {**found, "size": None} if self.own_sizes else found

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as a config holds them; `from_dict` makes an equal view set of them."""
        return plain({**self._arguments(), "strategies": [s.to_config() for s in self.strategies]}, OPS)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ViewSet:
        """The view set of arguments as `to_dict` or a config holds them; ViewError names what is wrong."""
        if "strategies" not in values and set(values) <= set(argument_names(cls)):
            beside = f" beside {', '.join(values)}" if values else ""
            raise ViewError(f"a view set needs strategies{beside}; name them, as strategies: [simclr]")
        # A command line gives the parts of a mapping as text: --data.views.crops 3.
        return construct(cls, {k: _read(k, v) if isinstance(v, str) else v for k, v in values.items()}, "a view set")


def _read(name: str, text: str) -> object:
    try:
        return yaml_text.parse(text)
    except yaml.YAMLError as error:
        raise ViewError(f"{name} is {text!r}, which is not valid YAML; is a bracket missing?") from error
