"""Fields of numbers and bytes, and their decoders, which only say that a field is of that kind."""

from data_loading.ffcv.fields import FloatField, IntField
from data_loading.ffcv.pipeline.operation import FieldDecoder

__all__ = ["BytesDecoder", "FloatDecoder", "FloatField", "IntDecoder", "IntField"]


class IntDecoder(FieldDecoder):
    """int64 (B, 1)."""

    kinds = ("int",)


class FloatDecoder(FieldDecoder):
    """float64 (B, 1)."""

    kinds = ("float",)


class BytesDecoder(FieldDecoder):
    """uint8 (B, n), n that of the longest value of the file; zeros follow each value. Also the text of JSON."""

    kinds = ("bytes", "json")
