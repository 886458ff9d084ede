"""Works: which views are made of one image, as numbers for the peers (`ViewSpec`) and as a view set for our loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data_loading.config.registry import Registry
from data_loading.errors import ConfigError

if TYPE_CHECKING:
    from data_loading.views.view_set import ViewSet

SIMCLR_JITTER, BYOL_JITTER, MOCO_JITTER = (0.8, 0.8, 0.8, 0.2), (0.4, 0.4, 0.2, 0.1), (0.4, 0.4, 0.4, 0.1)
SMALL = 64  # pixels: a file whose images have no longer side gets the works for small images


@dataclass(frozen=True)
class ViewSpec:
    """One view of an image, as numbers from which each peer builds it with its own library.

    size: side of the view, pixels.
    crop: number of the crop box; views with equal numbers share one box, which is cut and resized once.
    geometry: "resized" (RandomResizedCrop of area `scale`), "padded" (4 black pixels around, then a random crop) or
        "centre" (shorter side to 8/7 of size, then the central square).
    jitter: strengths of brightness, contrast, saturation and hue, as of torchvision's ColorJitter; None: no colour ops.
    p_jitter, p_gray, p_blur, p_solarize: probabilities; a blur has a sigma of 0.1 to 2 pixels.
    policy: "randaugment" (2 of 14 ops, magnitude 9 of 0..30), "autoaugment" or "fastautoaugment" (of ImageNet); None.
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
    policy: str | None = None

    @property
    def flip(self) -> bool:
        """Whether the view is mirrored with probability 0.5, independently of the other views of its box."""
        return self.geometry != "centre"

    @property
    def blur_kernel(self) -> int:
        """Taps of a blur, pixels: a tenth of the side, made odd, as in torchvision's SimCLR scripts; 23 at 224."""
        return self.size // 10 + 1 - (self.size // 10) % 2


@dataclass(frozen=True)
class Work:
    """A set of views to make of each image.

    name: as in `--works`.
    views: what each peer builds.
    view_set: function that returns the same views for our loader: a view set or the name of one.
    dtype: "float32" (normalised by ImageNet's mean and deviation) or "uint8".
    small: whether it is for images of 32 x 32 pixels.
    note: in what the peers' views differ from ours; printed below the table.
    """

    name: str
    views: tuple[ViewSpec, ...]
    view_set: Callable[[], str | ViewSet]
    dtype: str = "float32"
    small: bool = False
    note: str = ""

    def boxes(self) -> list[tuple[ViewSpec, list[int]]]:
        """For each crop box, the spec of its first view, which says how it is cut, and the numbers of its views."""
        crops = sorted({spec.crop for spec in self.views})
        members = [[i for i, spec in enumerate(self.views) if spec.crop == crop] for crop in crops]
        return [(self.views[m[0]], m) for m in members]


def _own_crops(*specs: ViewSpec) -> tuple[ViewSpec, ...]:
    """Each view on a crop box of its own."""
    return tuple(replace(spec, crop=i) for i, spec in enumerate(specs))


def _two_shared_crops(*specs: ViewSpec) -> tuple[ViewSpec, ...]:
    """Each strategy on both of two crop boxes, in the order of `ViewSet(..., crops=2, shared_crops=True)`."""
    return tuple(replace(spec, crop=crop) for spec in specs for crop in (0, 1))


SIMCLR = ViewSpec(jitter=SIMCLR_JITTER, p_blur=0.5)
BYOL_A = ViewSpec(jitter=BYOL_JITTER, p_blur=1.0)
BYOL_B = ViewSpec(jitter=BYOL_JITTER, p_blur=0.1, p_solarize=0.2)
MOCO = ViewSpec(jitter=MOCO_JITTER, p_blur=0.5)
POLICIES = tuple(ViewSpec(policy=name) for name in ("randaugment", "autoaugment", "fastautoaugment"))
WORKS: dict[str, Work] = {}


def _add(name: str, views: tuple[ViewSpec, ...], view_set: Callable | None = None, **more) -> None:
    WORKS[name] = Work(name, views, view_set or (lambda: name), **more)


def four_blurs() -> ViewSet:
    """Eight views of 224 pixels: two shared crops, each under SimCLR, BYOL a, BYOL b and MoCo v2, which all blur."""
    from data_loading.ops import ColorJitter, GaussianBlur, Grayscale, HorizontalFlip
    from data_loading.strategies import Strategy, strategy
    from data_loading.views.view_set import ViewSet

    a, b = (Strategy(f"byol_{name}", [ops]) for name, ops in zip("ab", strategy("byol").variants, strict=True))
    moco = [HorizontalFlip(), ColorJitter(*MOCO_JITTER, p=0.8), Grayscale(0.2), GaussianBlur((0.1, 2.0), p=0.5)]
    return ViewSet(["simclr", a, b, Strategy("moco_v2", [moco])], crops=2, shared_crops=True)


def byol_bilinear() -> ViewSet:
    """BYOL's two views resized bilinearly, as the peers resize; its authors resize bicubically."""
    from data_loading.views.view_set import ViewSet

    return ViewSet(["byol"], crops=2, interpolation="bilinear")


_add("rrc", (ViewSpec(),), dtype="uint8")
_add("simclr", _own_crops(SIMCLR, SIMCLR))
_add("byol", _own_crops(BYOL_A, BYOL_B), byol_bilinear)
_add(
    "multicrop",
    _own_crops(*[replace(SIMCLR, scale=(0.14, 1.0))] * 2, *[replace(SIMCLR, size=96, scale=(0.05, 0.14))] * 6),
)
_add(
    "massrl",
    _two_shared_crops(SIMCLR, *POLICIES),
    note="no peer has Fast AutoAugment, so each does AutoAugment a second time in its place",
)
_add("four_blurs", _two_shared_crops(SIMCLR, BYOL_A, BYOL_B, MOCO), four_blurs)
_add("eval", (ViewSpec(geometry="centre"),))
_add("cifar", (ViewSpec(size=32, geometry="padded"),), small=True)
_add("simclr32", _own_crops(*[ViewSpec(size=32, jitter=(0.4, 0.4, 0.4, 0.1))] * 2), small=True)


def chosen(names: str | None, longest: int) -> list[Work]:
    """The works of a comma-separated list; without a list, those for images whose longest side is `longest` pixels.

    Raises UnknownName, which names the nearest work, and ConfigError for an empty list.
    """
    if names is None:
        return [work for work in WORKS.values() if work.small == (longest <= SMALL)]
    return [WORKS[name] for name in listed("work", names, WORKS)]


def notes(works: Sequence[Work]) -> list[str]:
    """One line for each work whose views differ between the peers and ours."""
    return [f"{work.name}: {work.note}" for work in works if work.note]


def listed(what: str, words: str, known: Iterable[str]) -> list[str]:
    """The names of a comma-separated list, in its order and without repetitions.

    what: the kind of thing, for errors.  known: the names that are allowed.
    Raises UnknownName, which says the nearest known name, and ConfigError for an empty list.
    """
    table = Registry(what)
    for name in known:
        table.register(name=name)(lambda: None)
    names = [word.strip() for word in words.split(",") if word.strip()]
    if not names:
        raise ConfigError(f"no {what} is named; choose from {', '.join(known)}")
    for name in names:
        table[name]  # raises UnknownName
    return list(dict.fromkeys(names))
