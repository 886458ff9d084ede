"""Backbones: a name -> an encoder (B, 3, H, W) -> (B, F) with random weights and `.num_features` = F."""

from __future__ import annotations

import difflib
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.errors import ConfigError, UnknownName
from data_loading.registry import Registry

BACKBONES = Registry("backbone")  # our own; timm's and torchvision's are known by their names
STEMS = ("imagenet", "cifar")
# What `massrl list backbones` shows beside our own; any other name of timm works as well.
CURATED = {
    "resnet18": "ResNet-18 of torchvision, 512 features",
    "resnet34": "ResNet-34 of torchvision, 512 features",
    "resnet50": "ResNet-50 of torchvision, 2048 features",
    "resnet101": "ResNet-101 of torchvision, 2048 features",
    "wide_resnet50_2": "ResNet-50 with doubled width, of torchvision, 2048 features",
    "timm:resnet50": "the same architecture of timm; timm:NAME builds any model of timm",
    "timm:convnext_tiny": "ConvNeXt-T of timm, 768 features",
    "timm:vit_small_patch16_224": "ViT-S/16 of timm, 384 features",
    "timm:vit_base_patch16_224": "ViT-B/16 of timm, 768 features",
}


def names() -> dict[str, str]:
    """Names to list and a line about each: our own and a choice of torchvision's and timm's."""
    return {**{name: BACKBONES.summary(name) for name in BACKBONES}, **CURATED}


def build(name: str, stem: Literal["imagenet", "cifar"] = "imagenet", **args) -> nn.Module:
    """The encoder of that name: ours, else torchvision's (ResNets), else timm's; "timm:NAME" takes timm's for sure.

    stem: "cifar" (3 x 3, stride 1, padding 1, no max-pool) keeps small images large; ResNets have it.
    args: passed on to the constructor.  Raises UnknownName with the nearest name, ConfigError for arguments.
    """
    if stem not in STEMS:
        raise ConfigError(f"backbone_args.stem is {stem!r}; choose one of {', '.join(STEMS)}")
    library, _, plain = name.rpartition(":")
    try:
        if library not in ("", "timm", "torchvision"):
            raise UnknownName(f"no library {library!r} for backbone {name!r}; write timm:NAME or torchvision:NAME")
        if not library and name in BACKBONES:
            backbone = BACKBONES[name](**args)
        elif library != "timm" and plain in _torchvision_names():
            backbone = _torchvision(plain, args)
        elif library != "torchvision" and _is_timm(plain):
            backbone = _timm(plain, args)
        else:
            raise UnknownName(_unknown(name, plain, library))
    except TypeError as error:  # an argument that the constructor does not take
        raise ConfigError(f"backbone {name!r}: {error}; backbone_args must fit its constructor") from None
    if stem == "cifar" and name not in BACKBONES:
        _small_stem(backbone, name)
    backbone.recipe = {"name": name, "stem": stem, **args}  # for `reinitialise`
    return backbone


def takes_small_stem(name: str) -> bool:
    """Whether stem "cifar" fits the backbone of that name."""
    if name in BACKBONES:
        return True
    plain = name.rpartition(":")[2]
    return "resne" in plain or "resnext" in plain


def width_of(backbone: nn.Module) -> int:
    """`num_features` of an encoder, or a ConfigError that asks for it."""
    width = getattr(backbone, "num_features", None)
    if not isinstance(width, int):
        raise ConfigError(f"backbone {type(backbone).__name__} has no num_features; set it to the width of its output")
    return width


def reinitialise(backbone: nn.Module, seed: int) -> nn.Module:
    """The same architecture with random weights drawn from a seed; global random state is left as it was.

    What `build` made is built anew, with its own initialisation, also as a part of another module; other modules have
    their `reset_parameters` called, in place. Raises ConfigError where a parameter belongs to a module that has none.
    """
    device = next((p.device for p in backbone.parameters()), torch.device("cpu"))
    # Drawn on the CPU by its default generator alone: torch.manual_seed would disturb those of other devices.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        fresh = _anew(backbone.cpu(), type(backbone).__name__)
    return fresh.to(device).train(backbone.training)


def _anew(module: nn.Module, place: str) -> nn.Module:
    recipe = getattr(module, "recipe", None)
    if recipe:
        return build(**recipe)
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is not None:
        reset()
    elif next(module.parameters(recurse=False), None) is not None:
        raise ConfigError(f"backbone {place} ({type(module).__name__}) has parameters and no reset_parameters method")
    for name, part in module.named_children():
        setattr(module, name, _anew(part, f"{place}.{name}"))
    return module


def _torchvision_names() -> list[str]:
    from torchvision import models

    families = ("resnet", "resnext", "wide_resnet")
    return [name for name in models.list_models(module=models) if name.startswith(families)]


def _torchvision(name: str, args: dict) -> nn.Module:
    from torchvision.models import get_model

    model = get_model(name, weights=None, **args)
    model.num_features, model.fc = model.fc.in_features, nn.Identity()
    return model


def _is_timm(name: str) -> bool:
    import timm

    return timm.is_model(name)


def _timm(name: str, args: dict) -> nn.Module:
    import timm

    model = timm.create_model(name, pretrained=False, num_classes=0, **args)
    # Some models have a layer between pooling and classifier: what comes out is then not num_features wide.
    model.num_features = getattr(model, "head_hidden_size", None) or model.num_features
    return model


def _small_stem(model: nn.Module, name: str) -> None:
    conv = getattr(model, "conv1", None)
    if isinstance(conv, nn.Sequential):  # the deep stems of timm
        conv = conv[-1]
    if not isinstance(conv, nn.Conv2d) or not hasattr(model, "maxpool"):
        raise ConfigError(f"backbone {name!r} has no stem to replace; stem: cifar fits ResNets (use stem: imagenet)")
    model.conv1 = nn.Conv2d(3, conv.out_channels, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()


def _unknown(name: str, plain: str, library: str) -> str:
    import timm

    prefix = f"{library}:" if library else ""
    pool = {
        "": [*BACKBONES, *_torchvision_names(), *timm.list_models()],
        "timm": timm.list_models(),
        "torchvision": _torchvision_names(),
    }[library]
    near = difflib.get_close_matches(plain, pool, n=1)
    hint = f" Did you mean {prefix + near[0]!r}?" if near else ""
    return f"no backbone named {name!r}.{hint} Known: {', '.join(names())}, and any name of timm"


def _conv(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


@BACKBONES.register(name="tiny_resnet")
class TinyResNet(nn.Module):
    """A small ResNet for CPUs and images of 8 to 64 pixels; width=16 gives 64 features."""

    def __init__(self, width: int = 16, stages: int = 1, in_chans: int = 3):
        """width: of the first layer, doubled twice.  stages: how often the side is halved; 1 for 8 px, 2 to 3 above."""
        super().__init__()
        if min(width, stages, in_chans) < 1:
            raise ConfigError(f"tiny_resnet: width {width}, stages {stages}, in_chans {in_chans} must be at least 1")
        w = 2 * width
        self.num_features = 2 * w
        layers = [_conv(in_chans, width), _conv(width, w)]
        for _ in range(stages):
            layers += [_conv(w, w, stride=2), _Residual(w)]
        self.layers = nn.Sequential(*layers, _conv(w, 2 * w))
        self.to(memory_format=torch.channels_last)  # the faster form on CPUs

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x.contiguous(memory_format=torch.channels_last))  # (B, 4 width, H', W')
        return x.mean((2, 3))
