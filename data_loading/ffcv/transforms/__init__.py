"""The transforms of FFCV, FFCV-SSL and erow's fork; those that are not offered say so when they are used."""

from data_loading.ffcv.refused import refused
from data_loading.ffcv.transforms.common import Squeeze
from data_loading.ffcv.transforms.crops import CenterCrop, CornerCrop, PadRGBImageDecoder, RandomResizedCrop
from data_loading.ffcv.transforms.image import (
    Cutout,
    GaussianBlur,
    RandomBrightness,
    RandomColorJitter,
    RandomContrast,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomInvert,
    RandomSaturation,
    RandomSolarization,
    RandomTranslate,
    RandomVerticalFlip,
    Rotate,
)
from data_loading.ffcv.transforms.labels import (
    LabelColorJitter,
    LabelGaussianBlur,
    LabelGrayscale,
    LabelRandomHorizontalFlip,
    LabelRandomResizedCrop,
    LabelSolarization,
    LabelTranslate,
)
from data_loading.ffcv.transforms.mixup import ImageMixup, LabelMixup, MixupToOneHot
from data_loading.ffcv.transforms.ops import (
    Convert,
    ModuleWrapper,
    NormalizeImage,
    ReplaceLabel,
    ToDevice,
    ToTensor,
    ToTorchImage,
    View,
)

Poison = refused("Poison", "Batch.index of data_loading.Loader tells which rows a batch holds; change those there")

__all__ = [
    "CenterCrop",
    "Convert",
    "CornerCrop",
    "Cutout",
    "GaussianBlur",
    "ImageMixup",
    "LabelColorJitter",
    "LabelGaussianBlur",
    "LabelGrayscale",
    "LabelMixup",
    "LabelRandomHorizontalFlip",
    "LabelRandomResizedCrop",
    "LabelSolarization",
    "LabelTranslate",
    "MixupToOneHot",
    "ModuleWrapper",
    "NormalizeImage",
    "PadRGBImageDecoder",
    "Poison",
    "RandomBrightness",
    "RandomColorJitter",
    "RandomContrast",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomResizedCrop",
    "RandomSaturation",
    "RandomSolarization",
    "RandomTranslate",
    "RandomVerticalFlip",
    "ReplaceLabel",
    "Rotate",
    "Squeeze",
    "ToDevice",
    "ToTensor",
    "ToTorchImage",
    "View",
]
