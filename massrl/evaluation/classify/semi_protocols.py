"""The protocols of learning with few labels: the whole pretrained network is fine-tuned on 1 % or 10 % of them.

Each record holds the settings for 10 % of the labels, and `few` what its authors change for 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from massrl.evaluation.classify.training import Curve, Head, Init, Optimizer, Scaling, Training
from massrl.evaluation.protocol import Selection, register


@dataclass(frozen=True)
class SemiTraining(Training):
    """All of the network, on few labels."""

    task: ClassVar[str] = "semi"
    epochs: int = 20
    lr_scaling: Scaling = "none"


@register(name="semi")
@dataclass(frozen=True)
class Semi(SemiTraining):
    """Fine-tune on few labels by SGD and a cosine; the learning rate is chosen on a fifth of the labelled images."""

    name: ClassVar[str] = "semi"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "massrl; VICReg's form, with more epochs and a choice of the rate"
    epochs: int = 50
    batch_size: int = 64
    base_lr: float = 0.3
    body_lr: float | None = 0.003
    rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    selection: Selection = "held-out"  # type: ignore[misc]


@register(name="semi-vicreg")
@dataclass(frozen=True)
class VICReg(SemiTraining):
    """Fine-tuning of VICReg on 1 % or 10 % of the labels: SGD, cosine, 20 epochs."""

    name: ClassVar[str] = "semi-vicreg"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "evaluate.py and README of facebookresearch/vicreg"
    base_lr: float = 0.1
    body_lr: float | None = 0.01
    few: ClassVar[Mapping[str, Any]] = {"base_lr": 0.08, "body_lr": 0.03}


@register(name="semi-swav")
@dataclass(frozen=True)
class SwAV(SemiTraining):
    """Fine-tuning of SwAV on 1 % or 10 % of the labels: SGD, times 0.2 at 12 and 16 of 20 epochs, the best epoch."""

    name: ClassVar[str] = "semi-swav"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "eval_semisup.py and README of facebookresearch/swav, which prints the best epoch"
    base_lr: float = 0.2
    body_lr: float | None = 0.01
    schedule: Curve = "step"
    gamma: float = 0.2
    selection: Selection = "test"  # type: ignore[misc]
    few: ClassVar[Mapping[str, Any]] = {"base_lr": 5.0, "body_lr": 0.02}


@register(name="semi-simclr")
@dataclass(frozen=True)
class SimCLR(SemiTraining):
    """Fine-tuning of SimCLR v2 on few labels: LARS, from the projector's first layer; 60 epochs for 1 %, else 30."""

    name: ClassVar[str] = "semi-simclr"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "colabs/finetuning.ipynb of google-research/simclr; Chen et al., arXiv:2006.10029, sec. 3"
    epochs: int = 30
    batch_size: int = 1024
    optimizer: Optimizer = "lars"
    base_lr: float = 0.08  # 0.005 sqrt(256)
    body_lr: float | None = 0.08
    lr_scaling: Scaling = "sqrt"
    head: Head = "projector"
    init: Init = "zero"
    few: ClassVar[Mapping[str, Any]] = {"epochs": 60}


@register(name="semi-byol")
@dataclass(frozen=True)
class BYOL(SemiTraining):
    """Fine-tuning of BYOL on few labels: Nesterov, one of five learning rates, chosen on held-out labelled images."""

    name: ClassVar[str] = "semi-byol"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Grill et al., arXiv:2006.07733, appendix C.2 (its choice of 30 or 50 epochs is fixed here)"
    epochs: int = 30
    batch_size: int = 1024
    nesterov: bool = True
    base_lr: float = 0.05
    body_lr: float | None = 0.05
    init: Init = "torch"
    rates: tuple[float, ...] = (0.1, 0.2, 0.4, 1.0, 2.0)  # 0.005, 0.01, 0.02, 0.05, 0.1
    selection: Selection = "held-out"  # type: ignore[misc]
    few: ClassVar[Mapping[str, Any]] = {"epochs": 50}


@register(name="semi-massrl")
@dataclass(frozen=True)
class MASSRL(SemiTraining):
    """Fine-tuning of MASSRL on few labels: SGD at 0.8 for 4096 images, a tenth at 24, 48 and 72 of 200 epochs."""

    name: ClassVar[str] = "semi-massrl"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "downstream/semi_supervised of TranNhiem/MA_SSRL_Pytorch (its README says 60 epochs)"
    epochs: int = 200
    batch_size: int = 4096
    base_lr: float = 0.05  # 0.8 at 4096
    body_lr: float | None = 0.05
    lr_scaling: Scaling = "linear"
    weight_decay: float = 3e-4
    schedule: Curve = "step"
    milestones: tuple[float, ...] = (0.12, 0.24, 0.36)
    init: Init = "torch"


@register(name="semi-paws")
@dataclass(frozen=True)
class PAWS(SemiTraining):
    """Fine-tuning of PAWS on few labels: Nesterov at 0.02, cosine, the best of 50 epochs on the test images."""

    name: ClassVar[str] = "semi-paws"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "configs/paws/imgnt_fine_tune.yaml of facebookresearch/suncet, which keeps the best epoch"
    epochs: int = 50
    nesterov: bool = True
    base_lr: float = 0.02
    body_lr: float | None = 0.02
    init: Init = "zero"
    selection: Selection = "test"  # type: ignore[misc]
