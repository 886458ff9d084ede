"""Flips, where FFCV has them."""

from data_loading.ffcv.transforms.image import RandomHorizontalFlip, RandomVerticalFlip
from data_loading.ffcv.transforms.labels import LabelRandomHorizontalFlip

__all__ = ["LabelRandomHorizontalFlip", "RandomHorizontalFlip", "RandomVerticalFlip"]
