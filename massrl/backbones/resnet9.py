"""ResNet9: a ResNet of eight convolutions for 32 x 32 pixels, which learns CIFAR-10 in some twenty epochs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from data_loading.errors import ConfigError
from massrl.backbones.names import BACKBONES


def _conv(a: int, b: int, side: int = 3, stride: int = 1, padding: int = 1) -> nn.Sequential:
    """Convolution from a to b channels, BatchNorm, ReLU."""
    conv = nn.Conv2d(a, b, side, stride, padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@BACKBONES.register(name="resnet9")
class ResNet9(nn.Module):
    """A ResNet of eight convolutions for CIFAR-10 in minutes, as in FFCV's example; 128 features (2 * width)."""

    def __init__(self, width: int = 64, scale: float = 0.2, in_chans: int = 3):
        """width: channels of the first layer.  scale: factor on the features; the example has it on the logits, which a
        classifier without bias takes for the same.
        """
        super().__init__()
        if min(width, in_chans) < 1 or scale <= 0:
            raise ConfigError(
                f"resnet9: width {width} and in_chans {in_chans} must be at least 1, and scale {scale} above 0"
            )
        w = width
        self.num_features, self.scale = 2 * w, scale
        self.layers = nn.Sequential(
            _conv(in_chans, w),
            _conv(w, 2 * w, 5, stride=2, padding=2),
            _Residual(2 * w),
            _conv(2 * w, 4 * w),
            nn.MaxPool2d(2),
            _Residual(4 * w),
            _conv(4 * w, 2 * w, padding=0),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, in_chans, H, W), H and W at least 9 -> features (B, 2 * width), the maximum over the map."""
        return self.layers(x.contiguous(memory_format=torch.channels_last)) * self.scale
