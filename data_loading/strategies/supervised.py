"""The basic augmentations of supervised training, which benchmarks of data loaders use."""

from data_loading.ops import HorizontalFlip, PadCrop
from data_loading.strategies.strategy import STRATEGIES, Strategy


@STRATEGIES.register
def crop_flip() -> Strategy:
    """Supervised training on ImageNet: crop of area 0.08 to 1, flip."""
    return Strategy("crop_flip", [[HorizontalFlip()]])


@STRATEGIES.register
def pad_flip() -> Strategy:
    """Supervised training on CIFAR-10: pad by 4 pixels, crop, flip."""
    return Strategy("pad_flip", [[HorizontalFlip()]], crop=PadCrop(4), size=32)
