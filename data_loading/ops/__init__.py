"""Augmentation ops, one file each: a sentence, a NumPy reference, how parameters are drawn, and the compiled kernel."""

from data_loading.ops.affine import Affine
from data_loading.ops.base import OPS, Op
from data_loading.ops.blur import GaussianBlur
from data_loading.ops.color_jitter import ColorJitter
from data_loading.ops.crop import CenterCrop, PadCrop, RandomResizedCrop
from data_loading.ops.elastic import Elastic
from data_loading.ops.erasing import Erasing
from data_loading.ops.flip import HorizontalFlip
from data_loading.ops.gamma import Gamma
from data_loading.ops.grayscale import Grayscale
from data_loading.ops.noise import GaussianNoise
from data_loading.ops.normalize import Normalize
from data_loading.ops.solarize import Solarize
from data_loading.ops.thickness import Thickness

__all__ = [
    "OPS",
    "Op",
    "Affine",
    "CenterCrop",
    "ColorJitter",
    "Elastic",
    "Erasing",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Normalize",
    "PadCrop",
    "RandomResizedCrop",
    "Solarize",
    "Thickness",
]
