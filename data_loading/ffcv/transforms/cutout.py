"""Cutout, where FFCV has it."""

from data_loading.ffcv.transforms.image import Cutout

__all__ = ["Cutout"]
