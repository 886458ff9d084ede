"""The plain augmentations of supervised training: what most loaders are compared by."""

from data_loading.ops import HorizontalFlip, PadCrop
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def crop_flip() -> Strategy:
    """Crop and flip, as supervised training on ImageNet."""
    return Strategy("crop_flip", [[HorizontalFlip()]])


@STRATEGIES.register
def pad_flip() -> Strategy:
    """Pad by 4 pixels, crop and flip, as supervised training on CIFAR-10."""
    return Strategy("pad_flip", [[HorizontalFlip()]], crop=PadCrop(4), size=32)
