"""The field types of .beton files: alias of data_loading.beton for FFCV's module name ffcv.fields."""

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
