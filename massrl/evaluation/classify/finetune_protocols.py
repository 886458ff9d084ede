"""The protocols of fine-tuning on all labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from massrl.evaluation.classify.training import Curve, Init, Interpolation, Optimizer, Scaling, Training
from massrl.evaluation.protocol import Selection, register

RAND_AUGMENT = "randaugment"  # 2 ops of magnitude 9; timm's rand-m9-mstd0.5-inc1 varies the magnitude


@dataclass(frozen=True)
class FineTuning(Training):
    """All of the network, on all labels."""

    task: ClassVar[str] = "finetune"


@register(name="finetune")
@dataclass(frozen=True)
class FineTune(FineTuning):
    """Fine-tune by SGD, 0.05 per 256 images, and a cosine over 30 epochs; the last one counts."""

    name: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "massrl; as finetune-simclr, without its choice of the epoch"
    epochs: int = 30
    base_lr: float = 0.05
    body_lr: float | None = 0.05
    init: Init = "torch"


@register(name="finetune-simclr")
@dataclass(frozen=True)
class SimCLR(FineTuning):
    """Fine-tuning of SimCLR by lightly: SGD, 0.05 per 256 images, cosine, the best of 30 epochs on the test images."""

    name: ClassVar[str] = "finetune-simclr"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "benchmarks/imagenet/resnet50/finetune_eval.py of lightly, which prints the best epoch"
    epochs: int = 30
    base_lr: float = 0.05
    body_lr: float | None = 0.05
    init: Init = "torch"
    selection: Selection = "test"  # type: ignore[misc]


@register(name="finetune-mae")
@dataclass(frozen=True)
class MAE(FineTuning):
    """Fine-tuning of MAE: AdamW with layer decay, RandAugment, mixup, cutmix, drop path, erasing, label smoothing."""

    name: ClassVar[str] = "finetune-mae"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "main_finetune.py and FINETUNE.md of facebookresearch/mae; He et al., arXiv:2111.06377, table 9"
    )
    batch_size: int = 1024
    optimizer: Optimizer = "adamw"
    base_lr: float = 5e-4
    body_lr: float | None = 5e-4
    weight_decay: float = 0.05
    warmup_epochs: float = 5.0
    final_lr: float = 5e-4  # 1e-6 of a peak of 2e-3
    init: Init = "truncated"
    std: float = 2e-5
    views: Any = RAND_AUGMENT
    interpolation: Interpolation = "bicubic"
    layer_decay: float | None = 0.65
    mixup: float = 0.8
    cutmix: float = 1.0
    smoothing: float = 0.1
    drop_path: float = 0.1
    erasing: float = 0.25

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        if not any(size in backbone for size in ("vit_large", "vit_huge")):
            return self
        drop_path = 0.3 if "vit_huge" in backbone else 0.2
        large: dict[str, Any] = {"epochs": 50, "base_lr": 1e-3, "body_lr": 1e-3}
        large |= {"final_lr": 2.5e-4, "layer_decay": 0.75}
        return dataclasses.replace(self, drop_path=drop_path, **large)


@register(name="finetune-dinov2")
@dataclass(frozen=True)
class DINOv2(FineTuning):
    """Fine-tuning of DINOv2, which takes DeiT III's pipeline: AdamW at 1e-5, RandAugment, mixup, cutmix, drop path.

    DeiT III's least learning rate is its learning rate, so that its cosine is constant. Its average of the weights over
    steps is left out.
    """

    name: ClassVar[str] = "finetune-dinov2"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Oquab et al., arXiv:2304.07193, sec. 7.1; README_revenge.md and main.py of facebookresearch/deit"
    )
    epochs: int = 20
    batch_size: int = 512
    optimizer: Optimizer = "adamw"
    base_lr: float = 1e-5
    body_lr: float | None = 1e-5
    lr_scaling: Scaling = "none"
    weight_decay: float = 0.1
    schedule: Curve = "constant"
    warmup_epochs: float = 5.0
    init: Init = "truncated"
    std: float = 0.02
    views: Any = RAND_AUGMENT
    interpolation: Interpolation = "bicubic"
    mixup: float = 0.8
    cutmix: float = 1.0
    smoothing: float = 0.1
    drop_path: float = 0.2

    def fitted(self, method: str, backbone: str, share: float) -> Self:
        rates = {"vit_large": 0.45, "vit_huge": 0.55, "vit_giant": 0.55}
        found = next((rate for size, rate in rates.items() if size in backbone), None)
        return self if found is None else dataclasses.replace(self, drop_path=found)
