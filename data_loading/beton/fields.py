"""Field types: how the values of a column of a .beton file are encoded to bytes and decoded."""

from __future__ import annotations

import json
import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.errors import BetonError


class Field(ABC):
    """Base class of the column types."""

    kind: str  # the type's name in layout.COLUMNS, for example "int"

    @property
    def checked(self) -> bool:
        """Whether stored bytes can be invalid, so that `decode` may raise."""
        return False

    @property
    def type_id(self) -> int:
        """FFCV's number for this type, stored in the field descriptor."""
        return layout.TYPE_IDS[self.kind]

    @abstractmethod
    def encode(self, value: Any, row: int = 0) -> tuple[Any, bytes | None]:
        """Returns (record, None) if the record itself stores the value, else (record without its pointer, page bytes).

        row: the sample's index in the data set; fields that sample random numbers use it as a key.
        BetonError for a value that the field cannot store.
        """

    def decode(self, data: np.ndarray) -> Any:
        """The value for stored bytes, uint8 (n,). Must copy: `data` is a view of the mapped file.

        BetonError for invalid bytes. Not defined for int and float fields, whose values are in the records, nor for
        images, which data_loading.decode decodes.
        """
        raise TypeError(f"{self!r} has no `decode`")

    def arguments(self) -> bytes:
        """The argument bytes of the field descriptor, at most 1,024."""
        return b""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class CustomField(Field):
    """A user-defined FFCV field (type 255), read only. Its values are the records, of numpy dtype `dtype`."""

    kind = "custom"
    type_id = layout.CUSTOM

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def encode(self, value: Any, row: int = 0) -> tuple[Any, bytes | None]:
        raise BetonError("custom fields (type 255) are read only; store the value with BytesField or NDArrayField")


class IntField(Field):
    """A 64-bit signed integer, for example a label. Takes Python and numpy integers."""

    kind = "int"

    def encode(self, value: Any, row: int = 0) -> tuple[int, None]:
        try:
            number = operator.index(value)
        except TypeError:
            raise BetonError(f"IntField takes integers, got {value!r} of type {type(value).__name__}") from None
        if not -(1 << 63) <= number < 1 << 63:
            raise BetonError(f"{number} does not fit into a signed 64-bit integer")
        return number, None


class FloatField(Field):
    """A float64; NaN and infinities are allowed."""

    kind = "float"

    def encode(self, value: Any, row: int = 0) -> tuple[float, None]:
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            return float(value), None
        except (TypeError, ValueError, OverflowError):
            raise BetonError(f"FloatField takes numbers, got {value!r} of type {type(value).__name__}") from None


class BytesField(Field):
    """Bytes of any length. Takes bytes, bytearray, memoryview or a uint8 array (n,); Reader returns bytes."""

    kind = "bytes"

    def encode(self, value: Any, row: int = 0) -> tuple[tuple[int], bytes]:
        if isinstance(value, np.ndarray):
            if value.dtype != np.uint8 or value.ndim != 1:
                raise BetonError(f"BytesField takes arrays of uint8 (n,), got {value.dtype} {value.shape}")
        elif not isinstance(value, bytes | bytearray | memoryview):
            raise BetonError(f"BytesField takes bytes or a uint8 array (n,), got {type(value).__name__}")
        data = bytes(value)
        return (len(data),), data

    def decode(self, data: np.ndarray) -> bytes:
        return data.tobytes()


class JSONField(Field):
    """A value that Python's json can encode: dicts with str keys, lists, str, numbers, bool, None; stored as UTF-8."""

    kind = "json"
    checked = True

    def encode(self, value: Any, row: int = 0) -> tuple[tuple[int], bytes]:
        try:
            data = json.dumps(value).encode() + b"\0"  # FFCV terminates the text with a zero byte
        except (TypeError, ValueError, RecursionError) as error:
            raise BetonError(f"the value cannot be written as JSON: {error}") from None
        return (len(data),), data

    def decode(self, data: np.ndarray) -> Any:
        text = data.tobytes()
        try:
            return json.loads(text[:-1] if text.endswith(b"\0") else text)
        except (ValueError, RecursionError) as error:  # also: not UTF-8, nested too deeply, integers of 5,000 digits
            raise BetonError(f"its JSON cannot be read: {error}") from None
