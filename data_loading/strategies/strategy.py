"""Strategy: crop rules for global and local views, and one or more variants (lists of ops). Registry of strategies."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from data_loading.config.arguments import given_to
from data_loading.config.described import build, construct, describe, dotted, plain
from data_loading.config.registry import Registry
from data_loading.errors import ViewError, one_of
from data_loading.ops.base import OPS, Op, whole
from data_loading.ops.choose import lists_of_ops
from data_loading.ops.crop import Crop, RandomResizedCrop, as_crop
from data_loading.ops.resize import INTERPOLATIONS


class Strategies(Registry):
    """Registry: name -> function that returns a Strategy. All arguments of the function must have defaults."""

    def register(self, item=None, *, name=None):
        """Decorator. Registers a function under `name` (default: its own name), and records in each strategy that it
        returns the name and arguments by which a config can build it again (Strategy.spec)."""
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
LARGEST = 4096  # maximum side of a view, pixels


class Strategy:
    """A named augmentation recipe.

    variants: one or more lists of ops. Crop c uses variant c mod len(variants); BYOL has two.
    crop, local_crop: crop rules of global and local views. Default: RandomResizedCrop of area 0.08 to 1, and 0.05 to
        0.14.
    local: ops of local views; None means the variants.
    size: side of a global view in pixels that the recipe was made for.
    interpolation: "bilinear" or "bicubic" for resizing crops; None means no preference (bilinear). A view set can
        override both size and interpolation.
    Ops and crops are objects, registered names, or {class_path, init_args} as in a config. ViewError if invalid.
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
            raise ViewError(f"the name of a strategy is {name!r}; it must be a non-empty string")
        self.name = name
        self.spec: Any = None  # name or {class_path, init_args} of a registered strategy, for to_config
        try:
            self.variants = lists_of_ops("variants", variants)
            if not isinstance(local, list | tuple | None):
                raise ViewError(f"local is {local!r}; it must be a list of ops, for example [HorizontalFlip]")
            self.local = None if local is None else lists_of_ops("local", [local])[0]
            self.crop = as_crop(RandomResizedCrop() if crop is None else crop)
            self.local_crop = as_crop(RandomResizedCrop(scale=(0.05, 0.14)) if local_crop is None else local_crop)
            self.size = whole(self, "size", size, 1, LARGEST)
            if interpolation is not None:
                one_of("Strategy: interpolation", interpolation, INTERPOLATIONS, ViewError)
            self.interpolation = interpolation
        except ViewError as error:
            raise ViewError(f"strategy {name!r}: {error}") from error

    def ops(self, role: str, crop: int) -> list[Op]:
        """The ops of crop number `crop`. role: "global" or "local"."""
        if role == "local" and self.local is not None:
            return self.local
        return self.variants[crop % len(self.variants)]

    def to_config(self) -> str | dict[str, Any]:
        """A config (str, or dict of plain values) from which `strategy` builds an equal strategy."""
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
    """Build a strategy from a registered name, {class_path, init_args}, or a dict of Strategy's arguments.

    A Strategy is returned unchanged. ViewError for arguments that do not exist or are invalid.
    """
    if isinstance(which, dict) and "class_path" not in which:
        return construct(Strategy, which, "a strategy")
    return build(which, STRATEGIES, Strategy)
