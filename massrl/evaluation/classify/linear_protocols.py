"""The linear protocols of the literature: a head trained on a frozen encoder, under crops and flips.

Where papers and code differ, the values are those of the code that is named. Schedules follow the step; code that
changes the rate once an epoch takes the same curve in stairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from massrl.evaluation.classify.training import Curve, Head, Init, Interpolation, Optimizer, Scaling, Training
from massrl.evaluation.protocol import Selection, register


@dataclass(frozen=True)
class LinearTraining(Training):
    """A head on a frozen encoder."""

    task: ClassVar[str] = "linear"


@register(name="linear-moco")
@dataclass(frozen=True)
class MoCo(LinearTraining):
    """Linear classifier of MoCo: SGD with a learning rate of 30, divided by 10 after 60 and 80 of 100 epochs."""

    name: ClassVar[str] = "linear-moco"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "He et al., arXiv:1911.05722, sec. 4.1; main_lincls.py of facebookresearch/moco"
    base_lr: float = 30.0
    schedule: Curve = "step"


@register(name="linear-simclr")
@dataclass(frozen=True)
class SimCLR(LinearTraining):
    """Linear classifier of SimCLR: SGD with Nesterov momentum, 0.1 per 256 images, from zero, 90 epochs."""

    name: ClassVar[str] = "linear-simclr"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "README and tf2/model.py of google-research/simclr; Chen et al., arXiv:2002.05709, appendix B.6"
    )
    epochs: int = 90
    batch_size: int = 4096
    nesterov: bool = True
    weight_decay: float = 1e-6
    init: Init = "zero"


@register(name="linear-byol")
@dataclass(frozen=True)
class BYOL(LinearTraining):
    """Linear classifier of BYOL: one of five learning rates, chosen on held-out training images; then all."""

    name: ClassVar[str] = "linear-byol"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "byol/configs/eval.py of deepmind-research; Grill et al., arXiv:2006.07733, appendix C.1"
    epochs: int = 80
    batch_size: int = 1024
    nesterov: bool = True
    base_lr: float = 0.2
    init: Init = "torch"
    rates: tuple[float, ...] = (2.0, 1.5, 1.0, 0.5, 0.25)  # 0.4, 0.3, 0.2, 0.1, 0.05
    selection: Selection = "held-out"  # type: ignore[misc]


@register(name="linear-mocov3")
@dataclass(frozen=True)
class MoCoV3(LinearTraining):
    """Linear classifier of MoCo v3: SGD, 0.1 per 256 images for ResNets and 3 for ViTs, cosine, 90 epochs."""

    name: ClassVar[str] = "linear-mocov3"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "main_lincls.py and CONFIG.md of facebookresearch/moco-v3"
    epochs: int = 90
    batch_size: int = 1024

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        return dataclasses.replace(self, base_lr=3.0) if "vit" in backbone else self


@register(name="linear-mae")
@dataclass(frozen=True)
class MAE(LinearTraining):
    """Linear classifier of MAE: LARS, 0.1 per 256 images, BatchNorm without scale and shift before it, bicubic."""

    name: ClassVar[str] = "linear-mae"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "main_linprobe.py and FINETUNE.md of facebookresearch/mae; He et al., arXiv:2111.06377, table 10"
    )
    epochs: int = 90
    batch_size: int = 16384
    optimizer: Optimizer = "lars"
    warmup_epochs: float = 10.0
    head: Head = "norm"
    init: Init = "truncated"
    interpolation: Interpolation = "bicubic"

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        large = any(size in backbone for size in ("vit_large", "vit_huge"))
        return dataclasses.replace(self, epochs=50) if large else self


SOLO_RATES = {"BarlowTwins": 0.1, "SwAV": 0.15, "SimCLR": 1.0, "MoCoV2Plus": 3.0, "SimSiam": 30.0}


@register(name="linear-solo")
@dataclass(frozen=True)
class Solo(LinearTraining):
    """Linear classifier of solo-learn: SGD, divided by 10 after 60 and 80 of 100 epochs; a rate for each method."""

    name: ClassVar[str] = "linear-solo"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "scripts/linear/imagenet-100 of vturrisi/solo-learn"
    base_lr: float = 0.3
    schedule: Curve = "step"
    init: Init = "torch"
    of_method: ClassVar[Mapping[str, float]] = SOLO_RATES

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        return dataclasses.replace(self, base_lr=self.of_method.get(method, self.base_lr))


@register(name="linear-massrl")
@dataclass(frozen=True)
class MASSRL(LinearTraining):
    """Linear classifier of MASSRL: its code, solo-learn's, comes without settings; these are solo-learn's for BYOL."""

    name: ClassVar[str] = "linear-massrl"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "main_linear.py of TranNhiem/MA_SSRL_Pytorch; scripts/linear/imagenet/byol.yaml of solo-learn"
    )
    schedule: Curve = "step"
    init: Init = "torch"


@register(name="linear-vicreg")
@dataclass(frozen=True)
class VICReg(LinearTraining):
    """Linear classifier of VICReg: SGD with a learning rate of 0.02, cosine, 100 epochs."""

    name: ClassVar[str] = "linear-vicreg"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "evaluate.py and README of facebookresearch/vicreg"
    base_lr: float = 0.02
    lr_scaling: Scaling = "none"
    weight_decay: float = 1e-6


@register(name="linear-swav")
@dataclass(frozen=True)
class SwAV(LinearTraining):
    """Linear classifier of SwAV: SGD with a learning rate of 0.3, cosine, the best of 100 epochs on the test images."""

    name: ClassVar[str] = "linear-swav"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "eval_linear.py of facebookresearch/swav, which prints the best epoch"
    base_lr: float = 0.3
    lr_scaling: Scaling = "none"
    weight_decay: float = 1e-6
    selection: Selection = "test"  # type: ignore[misc]


@register(name="linear-dino")
@dataclass(frozen=True)
class DINO(LinearTraining):
    """Linear classifier of DINO: SGD, 0.001 per 256 images, cosine, the best of 100 epochs on the test images.

    On the encoder's own output: the authors join the class tokens of the last 4 blocks of ViT-S.
    """

    name: ClassVar[str] = "linear-dino"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "eval_linear.py of facebookresearch/dino, which prints the best epoch"
    batch_size: int = 1024
    base_lr: float = 0.001
    selection: Selection = "test"  # type: ignore[misc]
