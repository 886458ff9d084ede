"""Names of backbones: which library a name belongs to, and which backbones accept the stem for small images."""

from __future__ import annotations

from data_loading.config.registry import Registry
from data_loading.errors import UnknownName, near_miss
from massrl.timm_package import import_timm

BACKBONES = Registry("backbone")  # massrl's own; the others are looked up in timm and torchvision
STEMS = ("imagenet", "cifar", "cifar_pad2")
RESNETS = ("resnet", "resnext", "wide_resnet")  # torchvision's families that are preferred over timm's without a prefix
TORCHVISION = (*RESNETS, "convnext", "vit_")  # all families supported from torchvision
TIMM_RESNETS = ("resnet", "resnest", "res2net", "sknet")  # timm modules whose models have `conv1` and `maxpool`
# Shown by `massrl list backbones` after massrl's own; every other timm name works as well.
CURATED = {
    "resnet18": "ResNet-18 of torchvision, 512 features",
    "resnet34": "ResNet-34 of torchvision, 512 features",
    "resnet50": "ResNet-50 of torchvision, 2048 features",
    "resnet101": "ResNet-101 of torchvision, 2048 features",
    "resnet152": "ResNet-152 of torchvision, 2048 features",
    "wide_resnet50_2": "ResNet-50 with doubled width, of torchvision, 2048 features",
    "wide_resnet101_2": "ResNet-101 with doubled width, of torchvision, 2048 features",
    "torchvision:convnext_tiny": "ConvNeXt-T of torchvision, 768 features",
    "torchvision:vit_b_16": "ViT-B/16 of torchvision, views of one size (image_size), 768 features",
    "timm:resnet50": "ResNet-50 of timm, 2048 features; timm:NAME builds any model of timm",
    "timm:convnext_tiny": "ConvNeXt-T of timm, 768 features",
    "timm:convnext_small": "ConvNeXt-S of timm, 768 features",
    "timm:convnext_base": "ConvNeXt-B of timm, 1024 features",
    "timm:swin_tiny_patch4_window7_224": "Swin-T of timm, 768 features",
    "timm:vit_tiny_patch16_224": "ViT-Ti/16 of timm, views of any size, 192 features",
    "timm:vit_small_patch16_224": "ViT-S/16 of timm, views of any size, 384 features",
    "timm:vit_base_patch16_224": "ViT-B/16 of timm, views of any size, 768 features",
    "timm:vit_large_patch16_224": "ViT-L/16 of timm, views of any size, 1024 features",
}


def names() -> dict[str, str]:
    """{name: one-line description} of massrl's own backbones and of a selection from torchvision and timm."""
    return {**{name: BACKBONES.summary(name) for name in BACKBONES}, **CURATED}


def find(name: str) -> tuple[str, str]:
    """(library, name in that library) of a backbone; library is "massrl", "torchvision" or "timm".

    A name without a prefix is looked up in massrl, then among torchvision's ResNets, then in timm, then in the rest of
    torchvision. Raises UnknownName, with the nearest name, when none has it.
    """
    library, _, plain = name.rpartition(":")
    if library not in ("", "timm", "torchvision"):
        raise UnknownName(f"unknown library {library!r} in backbone {name!r}; write timm:NAME or torchvision:NAME")
    if not library and name in BACKBONES:
        return "massrl", name
    if library != "timm" and plain in torchvision_names() and (library or plain.startswith(RESNETS)):
        return "torchvision", plain
    if library != "torchvision" and is_timm(plain):
        return "timm", plain
    if not library and plain in torchvision_names():
        return "torchvision", plain
    raise UnknownName(_unknown(name, plain, library))


def takes_small_stem(name: str, stem: str = "cifar") -> bool:
    """Whether the backbone accepts that stem: ResNets; "cifar" also massrl's own, whose stem is that already.

    Raises UnknownName for an unknown name.
    """
    library, plain = find(name)
    if library != "timm":
        return (library == "massrl" and stem == "cifar") or (library == "torchvision" and plain.startswith(RESNETS))
    return import_timm("timm.models").is_model_in_modules(plain, TIMM_RESNETS)


def torchvision_names() -> list[str]:
    """Names of the supported torchvision classification models."""
    from torchvision import models

    return [name for name in models.list_models(module=models) if name.startswith(TORCHVISION)]


def is_timm(name: str) -> bool:
    """Whether timm has a model of that name."""
    return import_timm().is_model(name)


def _unknown(name: str, plain: str, library: str) -> str:
    timm = import_timm()

    prefix = f"{library}:" if library else ""
    pool = {
        "": [*BACKBONES, *torchvision_names(), *timm.list_models()],
        "timm": timm.list_models(),
        "torchvision": torchvision_names(),
    }[library]
    near = near_miss(plain, pool).replace("mean '", f"mean '{prefix}")
    return f"no backbone named {name!r}.{near} `massrl list backbones` shows a selection; every timm name works"
