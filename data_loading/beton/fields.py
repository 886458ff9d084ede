"""Fields: what a column of a .beton file stores, and how a value becomes (record, bytes) and comes back."""

from __future__ import annotations

import json
import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.errors import BetonError


class Field(ABC):
    """One column. `kind` names its type in the file; `encode` and `decode` turn a value into stored bytes and back."""

    kind: str
    checked = False  # whether there are stored bytes that `decode` refuses

    @property
    def type_id(self) -> int:
        return layout.TYPE_IDS[self.kind]

    @abstractmethod
    def encode(self, value: Any, row: int = 0) -> tuple[Any, bytes | None]:
        """value -> (record, None) where the record holds the value itself, else (record without pointer, its bytes).

        row: its number in the data set, which keys what is drawn.
        """

    def decode(self, data: np.ndarray) -> Any:
        """Stored bytes, uint8 (n,) and not to be kept, -> the value. BetonError says what is wrong with them.

        Of those fields alone that are read so: numbers stand in the record, images have decoders of their own.
        """
        raise TypeError(f"{self!r} is not read by `decode`")

    def arguments(self) -> bytes:
        """What the file's head says of the field, at most 1,024 bytes."""
        return b""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({arguments})"


class CustomField(Field):
    """A column of a type of its writer's own (255): read as records of a dtype that the caller of Reader knows."""

    kind = "custom"
    type_id = layout.CUSTOM

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def encode(self, value: Any, row: int = 0) -> tuple[Any, bytes | None]:
        raise BetonError("fields of a type of one's own are read only; BytesField or NDArrayField can store the same")


class IntField(Field):
    """A whole number of 64 bits, as labels are."""

    kind = "int"

    def encode(self, value: Any, row: int = 0) -> tuple[int, None]:
        try:
            number = operator.index(value)
        except TypeError:
            raise BetonError(f"an IntField takes whole numbers, got {value!r} of type {type(value).__name__}") from None
        if not -(1 << 63) <= number < 1 << 63:
            raise BetonError(f"{number} does not fit into 64 bits")
        return number, None


class FloatField(Field):
    """A number as float64, NaN and infinities included."""

    kind = "float"

    def encode(self, value: Any, row: int = 0) -> tuple[float, None]:
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            return float(value), None
        except (TypeError, ValueError, OverflowError):
            raise BetonError(f"a FloatField takes numbers, got {value!r} of type {type(value).__name__}") from None


class BytesField(Field):
    """Bytes of any length: bytes, bytearray, memoryview, or a uint8 array (n,). They come back as bytes."""

    kind = "bytes"

    def encode(self, value: Any, row: int = 0) -> tuple[tuple[int], bytes]:
        if isinstance(value, np.ndarray):
            if value.dtype != np.uint8 or value.ndim != 1:
                raise BetonError(f"a BytesField takes arrays of uint8 (n,), got {value.dtype} {value.shape}")
        elif not isinstance(value, bytes | bytearray | memoryview):
            raise BetonError(f"a BytesField takes bytes or a uint8 array (n,), got {type(value).__name__}")
        data = bytes(value)
        return (len(data),), data

    def decode(self, data: np.ndarray) -> bytes:
        return data.tobytes()


class JSONField(Field):
    """What Python's json can write: dicts with words as keys, lists, words, numbers, True, False, None."""

    kind = "json"
    checked = True

    def encode(self, value: Any, row: int = 0) -> tuple[tuple[int], bytes]:
        try:
            data = json.dumps(value).encode() + b"\0"  # FFCV ends each with a zero
        except (TypeError, ValueError, RecursionError) as error:
            raise BetonError(f"the value cannot be written as JSON: {error}") from None
        return (len(data),), data

    def decode(self, data: np.ndarray) -> Any:
        text = data.tobytes()
        try:
            return json.loads(text[:-1] if text.endswith(b"\0") else text)
        except (ValueError, RecursionError) as error:  # among them: not UTF-8, too deep, numbers of 5,000 digits
            raise BetonError(f"its JSON cannot be read: {error}") from None
