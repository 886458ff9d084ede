"""Fields of numbers and bytes, and their decoders, which only assert that a field is of that type."""

from data_loading.ffcv.fields import FloatField, IntField
from data_loading.ffcv.pipeline.operation import FieldDecoder

__all__ = ["BytesDecoder", "FloatDecoder", "FloatField", "IntDecoder", "IntField"]


class IntDecoder(FieldDecoder):
    """An int field as int64 (B, 1)."""

    kinds = ("int",)


class FloatDecoder(FieldDecoder):
    """A float field as float64 (B, 1)."""

    kinds = ("float",)


class BytesDecoder(FieldDecoder):
    """Bytes, or the text of JSON, as uint8 (B, n): n is the length of the file's longest value, zeros fill the rest."""

    kinds = ("bytes", "json")
