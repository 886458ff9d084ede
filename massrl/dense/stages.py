"""Feature maps of a backbone: the maps of all its stages, for a feature pyramid, or the last one, for a linear head.

Encoders of massrl end with a pooled vector. These modules run the same layers, with the same weights, and return what
lies before the pooling.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError
from massrl.backbones import TinyResNet
from massrl.nn.modes import evaluating

PROBE = 64  # side in pixels of the image that is run once to learn the shapes of the maps
LAST_MAPS = 4  # a pyramid is built on the last four stages


class Stages(nn.Module):
    """The layers of a convolutional backbone in groups: images (B, 3, H, W) -> the map after each group but the first.

    groups: the stem, then one group for each stage.  channels, strides: of the maps, the finest first.
    """

    def __init__(self, groups: list[nn.Module]):
        super().__init__()
        self.groups = nn.ModuleList(groups)
        maps = _probed(self, PROBE)
        self.channels = [x.shape[1] for x in maps.values()]
        self.strides = [PROBE // x.shape[-1] for x in maps.values()]

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """Images (B, 3, H, W) -> {"0": (B, C0, H / s0, W / s0), "1": ...}, s the strides."""
        maps = OrderedDict()
        for i, group in enumerate(self.groups):
            x = group(x)
            if i > 0:
                maps[str(i - 1)] = x
        return maps


class LastMap(nn.Module):
    """The last feature map of a backbone: images (B, 3, H, W) -> (B, C, H', W').

    Convolutional networks: what is pooled.  Vision transformers: the patch tokens after the last norm, on their grid.
    size: side of the images; refused by a ConfigError where the backbone cannot take it.
    """

    def __init__(self, backbone: nn.Module, size: int):
        super().__init__()
        self.backbone = backbone
        groups = _groups(backbone)
        self.groups = None if groups is None else nn.Sequential(*groups)
        if groups is None and not hasattr(backbone, "forward_intermediates") and not _is_torchvision_vit(backbone):
            raise ConfigError(
                f"{_name(backbone)} gives no feature map that massrl knows; segment takes ResNets and ConvNeXts of "
                "torchvision and timm, tiny_resnet, ViTs, and networks of timm with forward_intermediates"
            )
        self.size = size
        self.channels = int(_probed(self, size).shape[1])

    def forward(self, x: Tensor) -> Tensor:
        if self.groups is not None:
            return self.groups(x)
        network = cast(Any, self.backbone)
        if hasattr(network, "forward_intermediates"):
            return network.forward_intermediates(x, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True)[0]
        tokens = network._process_input(x)  # (B, L, C), as torchvision's VisionTransformer.forward
        tokens = network.encoder(torch.cat([network.class_token.expand(len(x), -1, -1), tokens], dim=1))[:, 1:]
        side = x.shape[-1] // network.patch_size
        return tokens.transpose(1, 2).unflatten(2, (-1, side))  # (B, C, H', W')


def stages(backbone: nn.Module) -> Stages:
    """The stages of a convolutional backbone, sharing its layers; the last four, if it has more.

    Raises ConfigError, in one line, for a network without stages of falling size: a pyramid needs at least two.
    """
    groups = _groups(backbone)
    if groups is None:
        raise ConfigError(
            f"{_name(backbone)} has no stages for a feature pyramid; detect takes ResNets and ConvNeXts of torchvision "
            "and timm, and tiny_resnet"
        )
    while len(groups) > LAST_MAPS + 1:
        groups = [nn.Sequential(groups[0], groups[1]), *groups[2:]]
    found = Stages(groups)
    if len(groups) < 3:
        raise ConfigError(
            f"{_name(backbone)} has one stage, and a feature pyramid needs two; give tiny_resnet stages: 2 or 3"
        )
    return found


def _groups(backbone: nn.Module) -> list[nn.Module] | None:
    """The stem and the stages of a network whose layers are known, in order; None for other networks."""
    if isinstance(backbone, TinyResNet):
        return _tiny(backbone)
    if all(hasattr(backbone, name) for name in ("conv1", "bn1", "maxpool", "layer1", "layer4")):  # timm, torchvision
        names = [name for name, _ in backbone.named_children()]
        stem = [getattr(backbone, name) for name in names[: names.index("layer1")]]
        return [nn.Sequential(*stem), *(getattr(backbone, f"layer{i}") for i in range(1, 5))]
    if hasattr(backbone, "stem") and hasattr(backbone, "norm_pre"):  # ConvNeXt of timm
        first, *others = cast(nn.Sequential, backbone.stages)
        last = nn.Sequential(others.pop(), cast(nn.Module, backbone.norm_pre))
        return [cast(nn.Module, backbone.stem), first, *others, last]
    if type(backbone).__name__ == "ConvNeXt" and hasattr(backbone, "features"):  # of torchvision
        parts = list(cast(nn.Sequential, backbone.features))
        return [parts[0], parts[1], *(nn.Sequential(*parts[i : i + 2]) for i in range(2, len(parts), 2))]
    return None


def _tiny(backbone: TinyResNet) -> list[nn.Module]:
    """Two convolutions, then (halving, residual block) for each stage, and a last convolution in the last stage."""
    layers = list(backbone.layers)
    pairs = [nn.Sequential(*layers[i : i + 2]) for i in range(2, len(layers) - 1, 2)]
    pairs[-1] = nn.Sequential(*pairs[-1], layers[-1])
    return [nn.Sequential(*layers[:2]), *pairs]


def _is_torchvision_vit(backbone: nn.Module) -> bool:
    return all(hasattr(backbone, name) for name in ("_process_input", "class_token", "encoder", "patch_size"))


def _name(backbone: nn.Module) -> str:
    recipe = cast(dict[str, Any], getattr(backbone, "recipe", {}))
    return f"backbone {recipe.get('name', type(backbone).__name__)!r}"


@torch.no_grad()
def _probed(module: nn.Module, side: int) -> Any:
    """What the module makes of one black image of that side, without a change of its state."""
    weight = next(module.parameters())
    try:
        with evaluating(module):
            return module(weight.new_zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        line = str(error).partition("\n")[0]
        raise ConfigError(
            f"the backbone cannot take images of {side} pixels ({line}); set size to one that it takes: for a ViT a "
            "multiple of its patch size"
        ) from None
