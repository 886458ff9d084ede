"""Augmentation ops, one file each: definition, NumPy reference, sampling of parameters, kernel and torch form."""

from data_loading.ops.affine import Affine
from data_loading.ops.autocontrast import AutoContrast
from data_loading.ops.base import OPS, Op
from data_loading.ops.blur import GaussianBlur
from data_loading.ops.choose import Choose
from data_loading.ops.color_jitter import Brightness, ColorJitter, Contrast, Hue, Saturation
from data_loading.ops.crop import CenterCrop, CornerCrop, Crop, Pad, PadCrop, RandomResizedCrop, Resize, UniformCrop
from data_loading.ops.cutmix import CutMix
from data_loading.ops.cutout import Cutout
from data_loading.ops.elastic import Elastic
from data_loading.ops.equalize import Equalize
from data_loading.ops.erasing import Erasing
from data_loading.ops.flip import HorizontalFlip
from data_loading.ops.gamma import Gamma
from data_loading.ops.grayscale import Grayscale
from data_loading.ops.invert import Invert
from data_loading.ops.mixing import Mixing
from data_loading.ops.mixup import Mixup
from data_loading.ops.noise import GaussianNoise
from data_loading.ops.normalize import Normalize
from data_loading.ops.own import OwnOp
from data_loading.ops.posterize import Posterize
from data_loading.ops.rotate import Rotate
from data_loading.ops.round import Round
from data_loading.ops.sharpness import Sharpness
from data_loading.ops.shear import Shear
from data_loading.ops.shift import Shift
from data_loading.ops.solarize import Solarize
from data_loading.ops.thickness import Thickness
from data_loading.ops.translate import Translate
from data_loading.ops.vertical_flip import VerticalFlip

__all__ = [
    "OPS",
    "Affine",
    "AutoContrast",
    "Brightness",
    "CenterCrop",
    "Choose",
    "ColorJitter",
    "Contrast",
    "CornerCrop",
    "Crop",
    "CutMix",
    "Cutout",
    "Elastic",
    "Equalize",
    "Erasing",
    "Gamma",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "HorizontalFlip",
    "Hue",
    "Invert",
    "Mixing",
    "Mixup",
    "Normalize",
    "Op",
    "OwnOp",
    "Pad",
    "PadCrop",
    "Posterize",
    "RandomResizedCrop",
    "Resize",
    "Rotate",
    "Round",
    "Saturation",
    "Sharpness",
    "Shear",
    "Shift",
    "Solarize",
    "Thickness",
    "Translate",
    "UniformCrop",
    "VerticalFlip",
]
