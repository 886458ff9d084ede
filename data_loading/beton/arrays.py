"""Fields for arrays and tensors. dtype and shape are fixed for the column and stored in its field descriptor."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from data_loading.beton import layout
from data_loading.beton.fields import Field
from data_loading.errors import BetonError, ConfigError

# Accepted numpy dtype strings: bool, numbers, bytes, text and times. A dtype read from a file is checked against this
# before numpy parses it: an object dtype ("|O") would make numpy treat file bytes as pointers.
DTYPE = re.compile(r"[<>|=]?[biufcSUVmM]\d{0,9}(\[\d{0,9}[A-Za-z]{1,2}\])?")


class NDArrayField(Field):
    """Arrays of one dtype and shape, stored in C order. Values are not cast: another dtype or shape is a BetonError.

    dtype: bool, number, bytes, text or time; no structured or object dtypes.
    shape: 1 to 32 dimensions. The last side must be at least 1, because the file pads the shape with zeros.
    ConfigError for a dtype or shape that the format cannot store.
    """

    kind = "ndarray"

    def __init__(self, dtype: Any, shape: Sequence[int]):
        try:
            self.dtype = np.dtype(dtype)
            self.shape = tuple(_integer(side) for side in shape)
        except TypeError as error:
            raise ConfigError(f"{type(self).__name__}(dtype={dtype!r}, shape={shape!r}): {error}") from None
        fault = self._fault()
        if fault is not None:
            raise ConfigError(f"{type(self).__name__}(dtype={dtype!r}, shape={self.shape}): {fault}")

    def _fault(self) -> str | None:
        """Why the format cannot store this dtype and shape, or None if it can."""
        if not self.shape:
            return "the format cannot store 0-dimensional arrays; use shape (1,), IntField or FloatField"
        if len(self.shape) > layout.MAX_DIMENSIONS:
            return f"the format stores at most {layout.MAX_DIMENSIONS} dimensions"
        if min(self.shape) < 0 or self.shape[-1] == 0:
            return "each side must be at least 0, and the last side at least 1"
        if self.dtype.itemsize * math.prod(max(side, 1) for side in self.shape) >= 1 << 32:
            return "a value must fit on one page, which is smaller than 4 GiB"
        if self.dtype.itemsize == 0 or self.dtype.names or self.dtype.subdtype or not DTYPE.fullmatch(self.dtype.str):
            return "the dtype must be a plain scalar type, not structured or object; store such values with BytesField"
        return None

    @property
    def size(self) -> int:
        """Bytes per value, as a Python integer, which cannot overflow."""
        return self.dtype.itemsize * math.prod(self.shape)

    def encode(self, value: Any, row: int = 0) -> tuple[tuple, bytes]:
        array = self.array(value)
        if array.ndim == 0 and math.prod(self.shape) == 1:  # as FFCV
            array = array.reshape(self.shape)
        same_type = array.dtype.newbyteorder("=") == self.dtype.newbyteorder("=")  # byte order may differ
        if not same_type or array.shape != self.shape:
            raise BetonError(
                f"the field stores {self.dtype} {self.shape}, got {array.dtype} {array.shape}; "
                f"cast the value, or declare the field with this dtype and shape"
            )
        return (), array.astype(self.dtype, copy=False).tobytes()

    def array(self, value: Any) -> np.ndarray:
        """`value` as a numpy array; BetonError for other types."""
        if not isinstance(value, np.ndarray | np.generic):
            raise BetonError(f"{type(self).__name__} takes numpy arrays, got {type(value).__name__}")
        return np.asarray(value)

    def decode(self, data: np.ndarray) -> np.ndarray:
        return self.decode_all(data[None])[0]

    def decode_all(self, data: np.ndarray) -> np.ndarray:
        """data: stored bytes, uint8 (n, size). Returns (n, *shape), a copy, because `data` may be unaligned."""
        if not self.size:
            return np.empty((len(data), *self.shape), self.dtype)
        if self.dtype.kind == "b":
            return (data != 0).reshape(len(data), *self.shape)  # numpy assumes that a bool is the byte 0 or 1
        if self.dtype.kind == "U":
            codes = data.copy().view(self.dtype.str[0] + "u4")
            if codes.size and codes.max() > sys.maxunicode:
                raise BetonError(f"its text has code point {codes.max()}, above Unicode's maximum {sys.maxunicode}")
        return data.copy().view(self.dtype).reshape(len(data), *self.shape)

    @property
    def checked(self) -> bool:
        return self.dtype.kind == "U"  # text has invalid code points; for other dtypes all bytes are valid

    def arguments(self) -> bytes:
        record = np.zeros((), layout.ARRAY)
        descr = json.dumps(self.dtype.descr).encode()
        record["shape"][: len(self.shape)] = self.shape
        record["length"], record["dtype"] = len(descr), descr
        return record.tobytes()

    @classmethod
    def stored(cls, arguments: bytes) -> NDArrayField:
        """The field for a descriptor's 1,024 argument bytes (layout.ARRAY); BetonError if they are not valid."""
        record = np.frombuffer(arguments, layout.ARRAY)[0]
        length, shape = int(record["length"]), [int(side) for side in record["shape"]]
        while shape and shape[-1] == 0:
            del shape[-1]
        if length > layout.ARRAY["dtype"].itemsize:
            raise BetonError(f"its dtype description has {length} bytes, more than the format allows")
        # Sliced from the raw bytes, because numpy's S dtype drops trailing zeros.
        descr = bytes(arguments)[np.dtype(layout.ARRAY_HEAD).itemsize :][:length]
        try:
            ((name, dtype),) = json.loads(descr)
            if name != "" or not DTYPE.fullmatch(dtype):
                raise ValueError
            return cls(np.dtype(dtype), shape)
        except ConfigError as error:
            raise BetonError(str(error)) from None
        except (ValueError, TypeError, RecursionError):
            raise BetonError(f"its dtype {descr[:60]!r} is not a plain scalar type") from None


class TorchTensorField(NDArrayField):
    """Tensors of one dtype and shape. Takes torch tensors and numpy arrays; Reader returns numpy arrays.

    dtype: a torch or numpy dtype. bfloat16 is refused because numpy lacks it: store float32, or an int16 view.
    shape, errors: as NDArrayField.
    """

    kind = "tensor"

    def __init__(self, dtype: Any, shape: Sequence[int]):
        name = str(dtype)
        super().__init__(name.removeprefix("torch.") if name.startswith("torch.") else dtype, shape)

    def array(self, value: Any) -> np.ndarray:
        if hasattr(value, "detach"):  # a torch tensor; checked without importing torch
            try:
                return value.detach().cpu().numpy()
            except (TypeError, RuntimeError) as error:
                raise BetonError(f"the tensor cannot be converted to numpy: {error}") from None
        return super().array(value)


def _integer(side: Any) -> int:
    if isinstance(side, bool) or not hasattr(side, "__index__"):
        raise TypeError(f"each side must be an integer, got {side!r}")
    return side.__index__()
