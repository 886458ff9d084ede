"""Settings of dense transfer by name, as protocols: each says where its numbers are from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from data_loading.errors import ConfigError, UnknownName, near_miss
from massrl.evaluation.protocol import Protocol, register

MOST_STEPS = 10**9
MOST = {"size": 8192, "batch_size": 65_536, "classes": 2**16}


@dataclass(frozen=True)
class Recipe(Protocol):
    """What training on dense labels takes.

    steps: optimiser steps.  batch_size: images of a step, over all processes.  lr: at that batch size; scaled with it.
    warmup: steps of linear rise of the rate, at most a tenth of `steps`.
    """

    steps: int = 40_000
    batch_size: int = 16
    lr: float = 1e-3
    weight_decay: float = 1e-3
    warmup: int = 1500

    def changed(self, **given: Any) -> Self:
        """The recipe with the settings that are not None; the rate follows the batch size unless it is given."""
        given = {name: value for name, value in given.items() if value is not None}
        for name, value in given.items():
            check_number(name, value)
        if "lr" not in given and "batch_size" in given:
            given["lr"] = self.lr * given["batch_size"] / self.batch_size
        return replace(self, **given)

    def rate(self, step: int) -> float:
        """Factor of the learning rate at a step, from 0."""
        warmup = min(self.warmup, self.steps // 10)
        return min(1.0, (step + 1) / (warmup + 1)) * self.decay(step / self.steps)

    def decay(self, progress: float) -> float:
        """Factor after the fraction `progress` of the training."""
        raise NotImplementedError


def check_number(name: str, value: Any) -> None:
    """Raise ConfigError unless a setting is an integer of at least 1 (frozen: 0); lr: a finite number above 0."""
    if name == "lr":
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ConfigError(f"{name} is {value!r}; it must be above 0")
        return
    low = 0 if name == "frozen" else 1
    most = MOST.get(name, MOST_STEPS)
    if isinstance(value, int) and value > most:
        raise ConfigError(f"{name} is {value}; it must be at most {most:,}")
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} is {value!r}; it must be an integer of at least {low}")


@register(name="segment-dinov3")
@dataclass(frozen=True)
class Segment(Recipe):
    """A linear head on frozen feature maps: DINOv3's linear evaluation on ADE20K.

    size: side of the crops, and of the windows of the test.  stride: of the windows, as a fraction of `size`.
    scale: training images are resized so that the shorter side is `size` times a number between these.
    """

    name: ClassVar[str] = "segment-dinov3"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DINOv3, arXiv:2508.10104; facebookresearch/dinov3 dinov3/eval/segmentation"
    size: int = 512
    stride: float = 341 / 512
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    dropout: float = 0.1
    clip_norm: float = 35.0

    def decay(self, progress: float) -> float:
        return (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Detect(Recipe):
    """Faster R-CNN with a feature pyramid on the backbone.

    momentum: of SGD.  drops: fractions of the training after which the rate is divided by 10.
    frozen: how many groups of layers, from the stem on, are not trained: 5 is all of a ResNet.
    norm: "trained": BatchNorm learns and normalises by the batch, in the pyramid, too; "frozen": its statistics and
    weights stay those of the checkpoint.
    sizes: of the shorter side of an image, one is chosen at random; the last one in the test.  max_size: longer side.
    """

    version: ClassVar[int] = 1
    steps: int = 90_000
    lr: float = 0.02
    weight_decay: float = 1e-4
    warmup: int = 1000
    momentum: float = 0.9
    drops: tuple[float, ...] = (2 / 3, 8 / 9)
    frozen: int = 0
    norm: str = "trained"
    sizes: tuple[int, ...] = (640, 672, 704, 736, 768, 800)
    max_size: int = 1333
    fpn_channels: int = 256

    def of_size(self, size: int) -> Self:
        """The recipe for images whose shorter side is `size` pixels; the longest side keeps its proportion."""
        check_number("size", size)
        longest = round(size * self.max_size / self.sizes[-1])
        return replace(self, sizes=(size,), max_size=longest)

    def decay(self, progress: float) -> float:
        return 0.1 ** sum(progress >= drop for drop in self.drops)


@register(name="detect-moco")
@dataclass(frozen=True)
class DetectMoCo(Detect):
    """All layers are trained, with BatchNorm over the batch: MoCo's transfer to COCO, with a pyramid."""

    name: ClassVar[str] = "detect-moco"
    source: ClassVar[str] = (
        "MoCo, arXiv:1911.05722, table 5 (R50-FPN, 1x); facebookresearch/moco detection/configs, detectron2 "
        "configs/Base-RCNN-FPN.yaml"
    )


@register(name="detect-ssl-transfer")
@dataclass(frozen=True)
class DetectFrozen(Detect):
    """The stem and three stages stay as they are: the frozen detection of ssl-transfer, made for VOC."""

    name: ClassVar[str] = "detect-ssl-transfer"
    source: ClassVar[str] = (
        "Ericsson et al., arXiv:2011.13377; linusericsson/ssl-transfer detectron2-configs/frozen (FREEZE_AT 4)"
    )
    steps: int = 144_000
    batch_size: int = 2
    lr: float = 0.0025
    warmup: int = 100
    frozen: int = 4
    norm: str = "frozen"
    sizes: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)


DETECT = {"moco": DetectMoCo, "ssl-transfer": DetectFrozen}
SEGMENT = {"dinov3": Segment}


def recipe(name: str, known: dict[str, type[Any]]) -> Any:
    """The recipe of that name. Raises UnknownName with the nearest one."""
    if name not in known:
        raise UnknownName(f"no settings named {name!r}.{near_miss(name, known)} Known: {', '.join(known)}")
    return known[name]()
