"""Checks of the inputs of massrl.simple; errors begin with the name of the class."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from data_loading.errors import ConfigError

SLACK = 1e-3  # how far outside [0, 1] a value may be, as after a bicubic resize; rendering clips it


def check_images(me: str, images: Tensor) -> None:
    """Raise a ConfigError, which begins with `me`, unless images is a float tensor (N, 3, H, W) of values in 0..1."""
    if not isinstance(images, Tensor):
        raise ConfigError(f"{me} takes a tensor of images (N, 3, H, W), got {type(images).__name__}")
    if images.dim() != 4 or images.shape[1] != 3:
        raise ConfigError(f"{me} takes images (N, 3, H, W), got {tuple(images.shape)}")
    if not images.is_floating_point():
        kind = str(images.dtype).removeprefix("torch.")
        raise ConfigError(f"{me} takes floats from 0 to 1, got {kind}; divide by 255, as ToTensor does")
    low, high = torch.stack(images.detach().aminmax()).tolist() if len(images) else (0.0, 1.0)
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise ConfigError(
            f"{me} takes images from 0 to 1, got values from {low:.3g} to {high:.3g}; do not normalise them, the "
            "model does, by mean and std"
        )


def three(me: str, name: str, given: float | Sequence[float]) -> tuple[float, ...]:
    """Three numbers, of one or three given; else a ConfigError that names the argument `name` of the class `me`."""
    values = tuple(float(x) for x in given) if isinstance(given, Collection) else (given,)
    if len(values) not in (1, 3):
        raise ConfigError(f"{me}: {name} is {given!r}; give one number, or three")
    return values * 3 if len(values) == 1 else values
