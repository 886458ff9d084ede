"""Works: what is made of one image, written once for the peers (specs of views) and for us (a view set)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data_loading.config.registry import Registry
from data_loading.errors import ConfigError

if TYPE_CHECKING:
    from data_loading.views.view_set import ViewSet

SIMCLR_JITTER, BYOL_JITTER, MOCO_JITTER = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1), (0.4, 0.4, 0.4, 0.1)
SMALL = 64  # pixels: files whose images are no larger get the works of small images


@dataclass(frozen=True)
class ViewSpec:
    """One view, for a peer to build in its own words.

    crop: the number of its box; equal numbers share one, which is cut and resized once.
    geometry: "resized" (RandomResizedCrop of area `scale`, then flip), "padded" (4 pixels of black, crop, flip) or
    "centre" (shorter side to 8/7 of size, centre).  jitter: brightness, contrast, saturation, hue; None: no colour ops.
    """

    size: int = 224
    crop: int = 0
    geometry: str = "resized"
    scale: tuple[float, float] = (0.08, 1.0)
    jitter: tuple[float, float, float, float] | None = None
    p_jitter: float = 0.8
    p_gray: float = 0.2
    p_blur: float = 0.0
    p_solarize: float = 0.0

    @property
    def blur_kernel(self) -> int:
        """A tenth of the side, odd: what SimCLR and torchvision's users take; 23 at 224."""
        return self.size // 10 + 1 - (self.size // 10) % 2


@dataclass(frozen=True)
class Work:
    """A row of the table.  dtype: "float32" (normalised by ImageNet's mean and std) or "uint8"; small: for 32 x 32."""

    name: str
    views: tuple[ViewSpec, ...]
    view_set: Callable[[], str | ViewSet]
    dtype: str = "float32"
    small: bool = False

    def boxes(self) -> list[tuple[ViewSpec, list[int]]]:
        """For each box the spec that says how it is cut and the numbers of its views."""
        crops = sorted({spec.crop for spec in self.views})
        members = [[i for i, spec in enumerate(self.views) if spec.crop == crop] for crop in crops]
        return [(self.views[m[0]], m) for m in members]


def _each_its_crop(*specs: ViewSpec) -> tuple[ViewSpec, ...]:
    return tuple(replace(spec, crop=i) for i, spec in enumerate(specs))


SIMCLR = ViewSpec(jitter=SIMCLR_JITTER, p_blur=0.5)
BYOL_A = ViewSpec(jitter=BYOL_JITTER, p_blur=1.0)
BYOL_B = ViewSpec(jitter=BYOL_JITTER, p_blur=0.1, p_solarize=0.2)
MOCO = ViewSpec(jitter=MOCO_JITTER, p_blur=0.5)
WORKS: dict[str, Work] = {}


def _add(name: str, views: tuple[ViewSpec, ...], view_set: Callable | None = None, **more) -> None:
    WORKS[name] = Work(name, views, view_set or (lambda: name), **more)


def four_strategies() -> ViewSet:
    """Two crops, each resized once, under SimCLR, BYOL's two variants and MoCo v2: eight views."""
    from data_loading.ops import ColorJitter, GaussianBlur, Grayscale, HorizontalFlip
    from data_loading.strategies import Strategy, strategy
    from data_loading.views.view_set import ViewSet

    a, b = (Strategy(f"byol_{name}", [ops]) for name, ops in zip("ab", strategy("byol").variants, strict=True))
    moco = [HorizontalFlip(), ColorJitter(*MOCO_JITTER, p=0.8), Grayscale(0.2), GaussianBlur((0.1, 2.0), p=0.5)]
    return ViewSet(["simclr", a, b, Strategy("moco_v2", [moco])], crops=2, shared_crops=True)


def byol_bilinear() -> ViewSet:
    """BYOL with the resize of the peers, where its authors resize bicubically."""
    from data_loading.views.view_set import ViewSet

    return ViewSet(["byol"], crops=2, interpolation="bilinear")


_add("rrc", (ViewSpec(),), dtype="uint8")
_add("simclr", _each_its_crop(SIMCLR, SIMCLR))
_add("byol", _each_its_crop(BYOL_A, BYOL_B), byol_bilinear)
_add(
    "multicrop",
    _each_its_crop(*[replace(SIMCLR, scale=(0.14, 1.0))] * 2, *[replace(SIMCLR, size=96, scale=(0.05, 0.14))] * 6),
)
_add("massrl", tuple(replace(s, crop=c) for s in (SIMCLR, BYOL_A, BYOL_B, MOCO) for c in (0, 1)), four_strategies)
_add("eval", (ViewSpec(geometry="centre"),))
_add("cifar", (ViewSpec(size=32, geometry="padded"),), small=True)
_add("simclr32", _each_its_crop(*[ViewSpec(size=32, jitter=(0.4, 0.4, 0.4, 0.1))] * 2), small=True)


def chosen(names: str | None, longest: int) -> list[Work]:
    """The works of a comma-separated list; without one those that fit images whose longest side is given (pixels)."""
    if names is None:
        return [work for work in WORKS.values() if work.small == (longest <= SMALL)]
    return [WORKS[name] for name in listed("work", names, WORKS)]


def listed(what: str, words: str, known) -> list[str]:
    """The names of a comma-separated list, in its order; an unknown one is an error that says which are known."""
    table = Registry(what)
    for name in known:
        table.register(name=name)(lambda: None)
    names = [word.strip() for word in words.split(",") if word.strip()]
    if not names:
        raise ConfigError(f"no {what} is named; choose from {', '.join(known)}")
    for name in names:
        table[name]  # raises UnknownName, which tells the nearest
    return list(dict.fromkeys(names))
