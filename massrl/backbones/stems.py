"""Change a ready-made network: a stem for small images, another number of input channels, no classifier."""

from __future__ import annotations

import math

from torch import nn

PADDING = {"cifar": 1, "cifar_pad2": 2}  # of the stems for small images


def make_small(resnet: nn.Module, padding: int = 1) -> None:
    """Replace the stem of a ResNet of timm or torchvision, in place: 3 x 3, stride 1, no max-pool.

    padding: 1 keeps the side of the image; 2, as in solo-learn, makes it 2 pixels longer.
    """
    old = [part for part in resnet.get_submodule("conv1").modules() if isinstance(part, nn.Conv2d)]
    # Deep stems have three convolutions.
    conv = nn.Conv2d(old[0].in_channels, old[-1].out_channels, 3, stride=1, padding=padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    resnet.conv1 = conv
    resnet.maxpool = nn.Identity()


def drop_head(model: nn.Module) -> None:
    """Remove the classifier of a torchvision network, in place, and set its `num_features`."""
    name = next(name for name in ("fc", "classifier", "heads") if hasattr(model, name))
    head = getattr(model, name)
    linear = head[-1] if isinstance(head, nn.Sequential) else head
    model.num_features = linear.in_features
    if linear is head:
        setattr(model, name, nn.Identity())
    else:  # ConvNeXt: keep the norm before the classifier
        head[-1] = nn.Identity()


def take_channels(model: nn.Module, in_chans: int) -> None:
    """Replace the first convolution of a torchvision network, in place, by one for `in_chans` channels.

    Its random initialisation is that of torchvision's constructor.
    """
    path, old = next((path, part) for path, part in model.named_modules() if isinstance(part, nn.Conv2d))
    shape = {key: getattr(old, key) for key in ("kernel_size", "stride", "padding")}
    conv = nn.Conv2d(in_chans, old.out_channels, bias=old.bias is not None, **shape)
    if path == "conv1":  # ResNets
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    else:
        vit = path == "conv_proj"
        nn.init.trunc_normal_(conv.weight, std=math.sqrt(1 / conv.weight[0].numel()) if vit else 0.02)
        if conv.bias is not None:
            nn.init.zeros_(conv.bias)
    owner, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(owner), leaf, conv)
