"""Change a ready-made network: a stem for small images, another number of input channels, no classifier, BlurPool."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def add_blur(model: nn.Module) -> int:
    """Blur the input of each convolution with a stride, in place; returns how many there are.

    Zhang, "Making Convolutional Networks Shift-Invariant Again", arXiv:1904.11486, in FFCV's form: 3 x 3 weights 1 2 1,
    before the convolution, which keeps its stride. Convolutions of fewer than 16 channels, as of the image itself, stay
    as they are. Names and shapes of weights do not change.
    """
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1 and m.in_channels >= 16]
    row = torch.tensor([1.0, 2.0, 1.0]) / 4
    for conv in convs:
        weights = torch.outer(row, row).expand(conv.in_channels, 1, 3, 3)  # one kernel for each channel
        conv.register_buffer("blur", weights.contiguous(), persistent=False)
        conv.register_forward_pre_hook(_blurred)
    return len(convs)


def _blurred(conv: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    blur: Tensor = conv.get_buffer("blur")
    return F.conv2d(inputs[0], blur, padding=1, groups=len(blur))


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
