"""All decoders."""

from data_loading.ffcv.fields.basics import BytesDecoder, FloatDecoder, IntDecoder
from data_loading.ffcv.fields.ndarray import NDArrayDecoder
from data_loading.ffcv.fields.rgb_image import (
    CenterCropRGBImageDecoder,
    RandomResizedCropRGBImageDecoder,
    SimpleRGBImageDecoder,
)

__all__ = [
    "BytesDecoder",
    "CenterCropRGBImageDecoder",
    "FloatDecoder",
    "IntDecoder",
    "NDArrayDecoder",
    "RandomResizedCropRGBImageDecoder",
    "SimpleRGBImageDecoder",
]
