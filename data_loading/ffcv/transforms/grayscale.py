"""Grayscale, where FFCV-SSL and erow's fork have it."""

from data_loading.ffcv.transforms.image import RandomGrayscale
from data_loading.ffcv.transforms.labels import LabelGrayscale

__all__ = ["LabelGrayscale", "RandomGrayscale"]
