"""Blur, where FFCV-SSL and erow's fork have it."""

from data_loading.ffcv.transforms.image import GaussianBlur
from data_loading.ffcv.transforms.labels import LabelGaussianBlur

__all__ = ["GaussianBlur", "LabelGaussianBlur"]
