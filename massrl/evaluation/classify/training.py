"""Training: what every protocol that trains a classifier by gradient descent states, as a record of plain values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from data_loading.errors import ConfigError, near_miss
from massrl.evaluation.protocol import Protocol, Selection

Curve = Literal["cosine", "step", "constant"]
Init = Literal["normal", "truncated", "zero", "torch"]
Head = Literal["linear", "norm", "projector"]
Scaling = Literal["linear", "sqrt", "none"]
Optimizer = Literal["sgd", "lars", "adamw"]
Interpolation = Literal["bilinear", "bicubic"]
CHOICES = {
    "optimizer": get_args(Optimizer),
    "lr_scaling": get_args(Scaling),
    "schedule": get_args(Curve),
    "head": get_args(Head),
    "init": get_args(Init),
    "interpolation": get_args(Interpolation),
    "selection": get_args(Selection),
}
NOT_NEGATIVE = ("base_lr", "body_lr", "weight_decay", "warmup_epochs", "final_lr", "std", "mixup", "cutmix", "trust")
SHARES = ("momentum", "smoothing", "drop_path", "erasing")  # from 0 to below 1
FEW = 0.05  # up to this share of the training labels a protocol's settings for 1 % hold, above it those for 10 %


@dataclass(frozen=True)
class Training(Protocol):
    """Train a head, and with `body_lr` the whole encoder, by cross-entropy on augmented views of labelled images.

    epochs: passes over the training images.  batch_size: images per optimiser step, of all processes together.
    optimizer: sgd, lars (timm's) or adamw.  momentum, nesterov: of sgd and lars.  trust: trust coefficient of lars.
    base_lr: learning rate of the head for 256 images.  body_lr: of the encoder; None freezes it, in eval mode.
    lr_scaling: rates are multiplied by batch / 256 (linear), its square root (sqrt), or not (none).
    weight_decay: of all trained parameters; with lars and adamw of those of more than one dimension.
    schedule: after `warmup_epochs` of linear rise: cosine to `final_lr`, a fraction of the peak; step, times `gamma` at
    each of `milestones`, fractions of the run; or constant.
    head: linear; norm, BatchNorm without scale and shift before it; projector, the first layer of the pretraining's
    projector before it.  init: of its weights: normal or truncated normal of deviation `std`, zero, or torch's own.
    views: view set or strategy of the training views; "crop_flip" is a crop of area 0.08 to 1, and a flip.
    interpolation: of training and test views.
    rates: factors on both learning rates, of which one is chosen on a held-out part of the training images.
    selection: fixed, held-out (`rates`), or test: the best epoch on the test images.
    layer_decay: the learning rate falls by this factor from a block of the encoder to the one before; None: not.
    mixup, cutmix: alpha of each; 0 leaves it out; with both, one of them is sampled for each batch.
    smoothing: of the labels.  drop_path: rate at the last block.  erasing: probability, for each image.
    """

    epochs: int = 100
    batch_size: int = 256
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    trust: float = 1e-3
    base_lr: float = 0.1
    body_lr: float | None = None
    lr_scaling: Scaling = "linear"
    weight_decay: float = 0.0
    schedule: Curve = "cosine"
    warmup_epochs: float = 0.0
    final_lr: float = 0.0
    milestones: tuple[float, ...] = (0.6, 0.8)
    gamma: float = 0.1
    head: Head = "linear"
    init: Init = "normal"
    std: float = 0.01
    views: Any = "crop_flip"
    interpolation: Interpolation = "bilinear"
    rates: tuple[float, ...] = ()
    selection: Selection = "fixed"  # type: ignore[misc]  # a class variable of Protocol, for protocols without a choice
    layer_decay: float | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0
    drop_path: float = 0.0
    erasing: float = 0.0

    task: ClassVar[str] = ""  # linear, semi or finetune: the command that has the protocol
    few: ClassVar[Mapping[str, Any]] = {}  # what differs with 1 % of the labels

    def __post_init__(self) -> None:
        for name in ("rates", "milestones"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_numbers()
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if self.selection == "held-out" and len(self.rates) < 2:
            raise ConfigError(f"rates is {list(self.rates)}; a choice needs at least two, as [0.1, 1, 10]")
        if self.selection != "held-out" and self.rates:
            raise ConfigError(f"rates are chosen among with selection held-out only; here it is {self.selection}")

    def _check_numbers(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or value != int(value) or value < least:
                raise ConfigError(f"{name} is {value}; it must be an integer of at least {least}")
        for name in NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not (0 <= value < math.inf):
                raise ConfigError(f"{name} is {value}; it must be a number of at least 0")
        for name in SHARES:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must lie from 0 to below 1")
        if self.nesterov and not self.momentum > 0:
            raise ConfigError(f"momentum is {self.momentum}; Nesterov's needs it above 0")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is {self.layer_decay}; it must lie above 0 and at most at 1")
        if any(not 0 < rate < math.inf for rate in self.rates):
            raise ConfigError(f"rates is {list(self.rates)}; factors on the learning rate are above 0")
        if any(not 0 < at < 1 for at in self.milestones) or list(self.milestones) != sorted(self.milestones):
            raise ConfigError(
                f"milestones is {list(self.milestones)}; write rising fractions of the run, as [0.6, 0.8]"
            )

    @property
    def frozen(self) -> bool:
        """Whether only the head is trained."""
        return self.body_lr is None

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        """The protocol for an encoder and a share in 0..1 of the training labels, where its authors distinguish.

        method: class name of the pretraining.  backbone: its name.
        """
        return dataclasses.replace(self, **self.few) if self.few and share <= FEW else self

    def changed(self, given: Mapping[str, Any]) -> Self:
        """A copy with other settings; those that are None stay.  ConfigError, with the nearest name, for others."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in given:
            if name not in known:
                raise ConfigError(f"{self.title} has no setting {name!r}.{near_miss(name, known)} {_listed(known)}")
        told = {name: value for name, value in given.items() if value is not None}
        if "rates" in told and "selection" not in told and self.selection != "test":
            told["selection"] = "held-out" if told["rates"] else "fixed"
        try:
            return dataclasses.replace(self, **told)
        except (TypeError, ValueError) as error:  # a word in place of a number
            raise ConfigError(f"{self.title}: a setting is of a wrong type: {told} ({error})") from error

    def differs(self, used: Training) -> dict[str, list[Any]]:
        """Setting -> [this protocol's value, the used one], for each that is not this protocol's."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(used)
        return {name: [value, theirs[name]] for name, value in mine.items() if theirs[name] != value}


def _listed(names: set[str]) -> str:
    return f"Settings: {', '.join(sorted(names))}"
