"""Colours, where FFCV-SSL has them."""

from data_loading.ffcv.transforms.image import RandomColorJitter
from data_loading.ffcv.transforms.labels import LabelColorJitter

__all__ = ["LabelColorJitter", "RandomColorJitter"]
