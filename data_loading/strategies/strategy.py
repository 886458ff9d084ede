"""A strategy: a crop rule for global and one for local views, and one or more variants, each a list of ops."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from data_loading.config.arguments import given_to
from data_loading.config.described import build, construct, describe, dotted, plain
from data_loading.config.registry import Registry
from data_loading.errors import ViewError, near_miss
from data_loading.ops.base import OPS, Op, whole
from data_loading.ops.choose import lists_of_ops
from data_loading.ops.crop import Crop, RandomResizedCrop, as_crop
from data_loading.ops.resize import INTERPOLATIONS


class Strategies(Registry):
    """name -> function that returns a Strategy, all of whose arguments have defaults."""

    def register(self, item=None, *, name=None):
        if item is None:
            return lambda it: self.register(it, name=name)
        key = name or item.__name__

        @functools.wraps(item)
        def make(*args, **kwargs):
            made = item(*args, **kwargs)
            given = plain(given_to(item, *args, **kwargs), OPS)
            path = key if item.__module__.startswith("data_loading.") else dotted(item)
            made.spec = {"class_path": path, "init_args": given} if given else path
            return made

        return super().register(make, name=name)


STRATEGIES = Strategies("strategy")
LARGEST = 4096  # pixels: side of a view


class Strategy:
    """A named augmentation recipe.

    variants: one list of ops for all crops, or several; crop c takes variant c mod their number (BYOL has two).
    crop, local_crop: how boxes of global and local views are drawn.  local: ops of local views; without it as variants.
    size: side of a global view in pixels for which the recipe was made, and interpolation, "bilinear" or "bicubic", of
    its crops (None: no matter, bilinear); a view set may choose others.
    Ops and crops are objects, names, or {class_path, init_args}, as in a config.
    """

    def __init__(
        self,
        name: str,
        variants: Sequence[Sequence[Op | str | dict]],
        crop: Crop | str | dict | None = None,
        local_crop: Crop | str | dict | None = None,
        local: Sequence[Op | str | dict] | None = None,
        size: int = 224,
        interpolation: str | None = None,
    ):
        if not isinstance(name, str) or not name:
            raise ViewError(f"the name of a strategy is {name!r}; it must be text")
        self.name = name
        self.spec: Any = None  # the name, with arguments, by which a config knows a registered one
        try:
            self.variants = lists_of_ops("variants", variants)
            if not isinstance(local, list | tuple | None):
                raise ViewError(f"local is {local!r}; it must be a list of ops, as [HorizontalFlip]")
            self.local = None if local is None else lists_of_ops("local", [local])[0]
            self.crop = as_crop(RandomResizedCrop() if crop is None else crop)
            self.local_crop = as_crop(RandomResizedCrop(scale=(0.05, 0.14)) if local_crop is None else local_crop)
            self.size = whole(self, "size", size, 1, LARGEST)
            if interpolation is not None:
                one_of("Strategy", "interpolation", interpolation, INTERPOLATIONS)
            self.interpolation = interpolation
        except ViewError as error:
            raise ViewError(f"strategy {name!r}: {error}") from error

    def ops(self, role: str, crop: int) -> list[Op]:
        if role == "local" and self.local is not None:
            return self.local
        return self.variants[crop % len(self.variants)]

    def to_config(self) -> str | dict[str, Any]:
        """Plain values from which `strategy` makes an equal one: its name, or all of it."""
        if self.spec is not None:
            return self.spec
        out: dict[str, Any] = {
            "name": self.name,
            "variants": [[describe(op, OPS) for op in variant] for variant in self.variants],
            "crop": describe(self.crop, OPS),
            "local_crop": describe(self.local_crop, OPS),
            "size": self.size,
        }
        if self.local is not None:
            out["local"] = [describe(op, OPS) for op in self.local]
        if self.interpolation is not None:
            out["interpolation"] = self.interpolation
        return out


def strategy(which: str | dict | Strategy) -> Strategy:
    """A strategy as it is; by its name, or {class_path, init_args}; or written out as the arguments of Strategy."""
    if isinstance(which, dict) and "class_path" not in which:
        return construct(Strategy, which, "a strategy")
    return build(which, STRATEGIES, Strategy)


def one_of(who: str, what: str, value: object, known: Iterable[str]) -> str:
    """`value` if it is one of `known`, else an error that names the nearest."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ViewError(f"{who}: {what} is {value!r}.{near_miss(value, known)} Choose one of {', '.join(known)}")
    return value
