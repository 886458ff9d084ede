"""A strategy: a crop rule for global and one for local views, and one or more variants, each a list of ops."""

from __future__ import annotations

from data_loading.errors import ViewError
from data_loading.ops.base import Op
from data_loading.ops.crop import Crop, RandomResizedCrop, check_crop
from data_loading.registry import Registry

STRATEGIES = Registry("strategy")  # name -> function without arguments that returns a Strategy


class Strategy:
    """A named augmentation recipe.

    variants: one list of ops for all crops, or several; crop c takes variant c mod their number (BYOL has two).
    crop, local_crop: how boxes of global and local views are drawn.  local: ops of local views; without it as variants.
    size: side of a global view in pixels for which the recipe was made; a view set may choose another.
    """

    def __init__(
        self,
        name: str,
        variants: list[list[Op]],
        crop: Crop | None = None,
        local_crop: Crop | None = None,
        local: list[Op] | None = None,
        size: int = 224,
    ):
        self.name, self.size = name, size
        self.variants = [list(v) for v in variants]
        self.crop = check_crop(crop or RandomResizedCrop())
        self.local_crop = check_crop(local_crop or RandomResizedCrop(scale=(0.05, 0.14)))
        self.local = local
        for op in [op for v in self.variants for op in v] + list(local or []):
            if not isinstance(op, Op):
                raise ViewError(f"strategy {name!r}: {op!r} is not an op")
        if not self.variants:
            raise ViewError(f"strategy {name!r} has no variant; give at least one list of ops, which may be empty")

    def ops(self, role: str, crop: int) -> list[Op]:
        if role == "local" and self.local is not None:
            return self.local
        return self.variants[crop % len(self.variants)]


def strategy(which: str | Strategy) -> Strategy:
    """A strategy by name, or as it is."""
    return which if isinstance(which, Strategy) else STRATEGIES[which]()
