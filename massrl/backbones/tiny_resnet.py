"""TinyResNet: a ResNet that trains on a CPU in minutes, and an example of how to register a backbone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.errors import ConfigError
from massrl.backbones.names import BACKBONES


def _conv(a: int, b: int, stride: int = 1) -> nn.Sequential:
    """3 x 3 convolution from a to b channels, BatchNorm, ReLU."""
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
    """A small ResNet for CPUs and images of 8 to 64 pixels; 64 features with width=16 (4 * width)."""

    def __init__(self, width: int = 16, stages: int = 1, in_chans: int = 3):
        """width: channels of the first layer; the last has 4 * width.  stages: how often height and width are halved:
        1 for images of 8 pixels, 2 or 3 for larger ones.
        """
        super().__init__()
        if min(width, stages, in_chans) < 1:
            raise ConfigError(f"tiny_resnet: width {width}, stages {stages}, in_chans {in_chans} must be at least 1")
        w = 2 * width
        self.num_features = 2 * w
        layers: list[nn.Module] = [_conv(in_chans, width), _conv(width, w)]
        for _ in range(stages):
            layers += [_conv(w, w, stride=2), _Residual(w)]
        self.layers = nn.Sequential(*layers, _conv(w, 2 * w))
        self.to(memory_format=torch.channels_last)  # faster on CPUs

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_chans, H, W) -> features (B, 4 * width), averaged over the feature map."""
        x = self.layers(x.contiguous(memory_format=torch.channels_last))  # (B, 4 width, H', W')
        return x.mean((2, 3))
