"""Solarization, where FFCV-SSL and erow's fork have it."""

from data_loading.ffcv.transforms.image import RandomSolarization
from data_loading.ffcv.transforms.labels import LabelSolarization

__all__ = ["LabelSolarization", "RandomSolarization"]
