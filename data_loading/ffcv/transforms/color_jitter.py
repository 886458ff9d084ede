"""Colours, where FFCV and erow's fork have them."""

from data_loading.ffcv.transforms.image import RandomBrightness, RandomColorJitter, RandomContrast, RandomSaturation

__all__ = ["RandomBrightness", "RandomColorJitter", "RandomContrast", "RandomSaturation"]
