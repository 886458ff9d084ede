"""View sets by name, as `massrl` or `dino_multicrop`, and `get`, which makes a view set from a config."""

from __future__ import annotations

from typing import Any

from data_loading.config.registry import Registry
from data_loading.errors import UnknownName, ViewError, near_miss
from data_loading.strategies import STRATEGIES
from data_loading.views.view_set import ViewSet

VIEW_SETS = Registry("view set")  # name -> function of the global size (None: its own) that returns a ViewSet


def get(which: str | dict | list | ViewSet, size: int | None = None) -> ViewSet:
    """Make a view set from a name, the arguments in a config, strategies, or a ViewSet.

    A strategy's name or import path means two crops of it; several, as a list or joined by +, share two crops.
    size: side of the global views in pixels; None keeps the view set's own. UnknownName for an unknown name, with the
    nearest known one; ViewError for anything else.
    """
    if isinstance(which, ViewSet):
        return which.with_size(size)
    if isinstance(which, dict):
        return ViewSet.from_dict(which).with_size(size)
    if isinstance(which, list | tuple):
        return ViewSet(which, crops=2, size=size, shared_crops=len(which) > 1)
    if not isinstance(which, str):
        raise ViewError(
            f"views is {which!r}; write the name of a view set or strategy, a list of strategies, or a mapping"
        )
    if which in VIEW_SETS:
        return VIEW_SETS[which](size)
    if "+" in which:
        return ViewSet(which.split("+"), crops=2, size=size, shared_crops=True)
    if which in STRATEGIES or "." in which:
        return ViewSet([which], crops=2, size=size)
    names = sorted({*VIEW_SETS, *STRATEGIES})
    hint = near_miss(which, names)
    raise UnknownName(f"no view set or strategy named {which!r}.{hint} Known: {', '.join(names)}")


def _with(name: str, **arguments) -> dict:
    """A strategy with arguments, as a config holds it."""
    return {"class_path": name, "init_args": arguments}


def _local(side: int, size: int | None) -> int:
    """The side of local crops in pixels: `side` beside global crops of 224 and larger, else in proportion.

    Rounded to a multiple of 16, the patch size of most ViTs, unless that is 0.
    """
    if size is None:
        return side
    part = size * side / 224
    return min(side, 16 * round(part / 16) or max(1, int(part)))


STRATEGY_SPACE = ("simclr", "randaugment", "autoaugment", "fastautoaugment")  # MASSRL's (arXiv:2205.11772)


@VIEW_SETS.register
def massrl(size: int | None = None) -> ViewSet:
    """MASSRL: two crops, each under SimCLR, RandAugment, AutoAugment and Fast AutoAugment; eight views."""
    return ViewSet(STRATEGY_SPACE, crops=2, size=size, shared_crops=True)


@VIEW_SETS.register
def massrl_figure(size: int | None = None) -> ViewSet:
    """MASSRL as its figure shows it: two crops of the image's shape, each under one of three strategies at random."""
    strategies: list[str | dict] = [_with("simclr", crop="UniformCrop"), "randaugment", "autoaugment"]
    return ViewSet(strategies, crops=2, size=size, assign="drawn")


@VIEW_SETS.register
def massrl_pytorch(size: int | None = None) -> ViewSet:
    """MASSRL as its PyTorch code has it: as massrl, with weaker SimCLR, which alone flips, and bicubic; eight views.

    Differs from that code, which shuffles the list of views for each sample: here the order is fixed.
    """
    simclr = _with("simclr", jitter=[0.4, 0.4, 0.2, 0.1], blur=1.0)
    others = [_with(name, flip=0.0) for name in STRATEGY_SPACE[1:]]
    return ViewSet([simclr, *others], crops=2, size=size, shared_crops=True, interpolation="bicubic")


@VIEW_SETS.register
def massrl_tensorflow(size: int | None = None) -> ViewSet:
    """MASSRL as its TensorFlow code has it: SimCLR twice and AutoAugment on SimCLR twice, each on a crop of its own."""
    return ViewSet(["massrl_tf_simclr", "massrl_tf_autoaugment"], crops=2, size=size)


@VIEW_SETS.register
def massrl_2(size: int | None = None) -> ViewSet:
    """MASSRL at the cost of SimCLR: two crops, each under one of four strategies at random; two views, as simclr."""
    return ViewSet(STRATEGY_SPACE, crops=2, size=size, assign="drawn")


@VIEW_SETS.register
def simclr_8(size: int | None = None) -> ViewSet:
    """SimCLR at the cost of MASSRL: eight crops of one strategy; as many views and decodes as massrl."""
    return ViewSet(["simclr"], crops=8, size=size)


@VIEW_SETS.register
def simclr_2x4(size: int | None = None) -> ViewSet:
    """MASSRL without its strategies: two crops, each under SimCLR four times; views, decodes and crops as massrl."""
    return ViewSet(["simclr"] * 4, crops=2, size=size, shared_crops=True)


@VIEW_SETS.register
def massrl32(size: int | None = None) -> ViewSet:
    """MASSRL on small images (CIFAR-10): as massrl, with SimCLR's ops and the policies for them."""
    policies = [_with(name, policy="cifar10") for name in STRATEGY_SPACE[2:]]
    return ViewSet(["simclr32", "randaugment", *policies], crops=2, size=size, shared_crops=True)


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
    return ViewSet(["simclr"], crops=2, size=size, local=6, local_size=_local(96, size), crop_scale=(0.14, 1.0))


@VIEW_SETS.register
def swav_multicrop(size: int | None = None) -> ViewSet:
    """SwAV: two global crops and six local ones of 96 pixels, of its own areas."""
    return ViewSet(["swav"], crops=2, size=size, local=6, local_size=_local(96, size))


@VIEW_SETS.register
def dino_multicrop(size: int | None = None) -> ViewSet:
    """DINO: two global crops and eight local ones of 96 pixels, of its own areas, bicubic."""
    return ViewSet(["dino"], crops=2, size=size, local=8, local_size=_local(96, size))


@VIEW_SETS.register
def mv_massrl(size: int | None = None) -> ViewSet:
    """Multi-view MASSRL: SimCLR and Fast AutoAugment, each on two global crops and seven local ones of 94 pixels."""
    local: dict[str, Any] = {"local": 7, "local_size": _local(94, size), "local_scale": (0.1, 0.3)}
    return ViewSet(["simclr", "fastautoaugment"], 2, size, shared_crops=True, crop_scale=(0.3, 1.0), **local)


@VIEW_SETS.register
def mv_massrl_dino(size: int | None = None) -> ViewSet:
    """Multi-view MASSRL for ViTs: SimCLR and RandAugment, each on two global crops and ten local ones of 96 pixels."""
    local: dict[str, Any] = {"local": 10, "local_size": _local(96, size), "local_scale": (0.1, 0.4)}
    return ViewSet(["simclr", "randaugment"], 2, size, shared_crops=True, crop_scale=(0.4, 1.0), **local)


@VIEW_SETS.register
def digits_multicrop(size: int | None = None) -> ViewSet:
    """Digits: two global views and two of 6 pixels, of half the image or more, under the geometric strategy."""
    return ViewSet(["digits_affine"], crops=2, size=size, local=2, local_size=6, local_scale=(0.5, 1.0))


@VIEW_SETS.register
def mae(size: int | None = None) -> ViewSet:
    """MAE: one crop of area 0.2 to 1, flipped, bicubic."""
    return ViewSet(["mae"], crops=1, size=size)


@VIEW_SETS.register(name="eval")
def evaluation(size: int | None = None) -> ViewSet:
    """One view without augmentation: the centre at 7/8 of the shorter side, the whole square up to 64 pixels."""
    usual = ViewSet(["eval"], crops=1, size=size)
    return usual if size is None or usual.size > 64 else ViewSet(["whole"], crops=1, size=size)
