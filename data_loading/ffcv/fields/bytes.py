"""The field of bytes, and its decoder."""

from data_loading.ffcv.fields import BytesField
from data_loading.ffcv.fields.basics import BytesDecoder

__all__ = ["BytesDecoder", "BytesField"]
