"""The fields of a .beton file under FFCV's name for this module; see data_loading.beton."""

from data_loading.beton.arrays import NDArrayField, TorchTensorField
from data_loading.beton.fields import BytesField, CustomField, Field, FloatField, IntField, JSONField
from data_loading.beton.images import RGBImageField

__all__ = [
    "BytesField",
    "CustomField",
    "Field",
    "FloatField",
    "IntField",
    "JSONField",
    "NDArrayField",
    "RGBImageField",
    "TorchTensorField",
]
