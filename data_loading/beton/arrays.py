"""Fields of arrays and tensors: one dtype and one shape for the whole column, kept in the file's head."""

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

# Plain numbers, words and times of numpy. What the file says is never handed to numpy otherwise: "|O" is a pointer.
DTYPE = re.compile(r"[<>|=]?[biufcSUVmM]\d{0,9}(\[\d{0,9}[A-Za-z]{1,2}\])?")


class NDArrayField(Field):
    """Arrays of one dtype and shape, stored in C order. Another dtype or shape is refused, not cast.

    shape: 1 to 32 dimensions. The file cannot tell a last dimension of 0 from one that is not there: refused too.
    """

    kind = "ndarray"

    def __init__(self, dtype: Any, shape: Sequence[int]):
        try:
            self.dtype = np.dtype(dtype)
            self.shape = tuple(_whole_number(side) for side in shape)
        except TypeError as error:
            raise ConfigError(f"{type(self).__name__}(dtype={dtype!r}, shape={shape!r}): {error}") from None
        fault = self._fault()
        if fault:
            raise ConfigError(f"{type(self).__name__}(dtype={dtype!r}, shape={self.shape}): {fault}")

    def _fault(self) -> str | None:
        if not self.shape:
            return "the format holds no arrays of 0 dimensions; use shape (1,), IntField or FloatField"
        if len(self.shape) > layout.MAX_DIMENSIONS:
            return f"the format holds {layout.MAX_DIMENSIONS} dimensions at most"
        if min(self.shape) < 0 or self.shape[-1] == 0:
            return "sides are at least 0, and the last one at least 1"
        if self.dtype.itemsize * math.prod(max(side, 1) for side in self.shape) >= 1 << 32:
            return "a value lies on one page, which has less than 4 GiB"
        if self.dtype.itemsize == 0 or self.dtype.names or self.dtype.subdtype or not DTYPE.fullmatch(self.dtype.str):
            return "the dtype is one of plain numbers (no fields, no objects); store such records with BytesField"
        return None

    @property
    def size(self) -> int:
        """Bytes of a value; a Python integer, which does not overflow."""
        return self.dtype.itemsize * math.prod(self.shape)

    def encode(self, value: Any, row: int = 0) -> tuple[tuple, bytes]:
        array = self.array(value)
        same = array.dtype == self.dtype or array.dtype.newbyteorder("=") == self.dtype.newbyteorder("=")
        if not same or array.shape != self.shape:
            raise BetonError(
                f"the field stores {self.dtype} {self.shape}, got {array.dtype} {array.shape}; cast it, or declare that"
            )
        return (), array.astype(self.dtype, copy=False).tobytes()

    def array(self, value: Any) -> np.ndarray:
        if not isinstance(value, np.ndarray | np.generic):
            raise BetonError(f"an {type(self).__name__} takes numpy arrays, got {type(value).__name__}")
        return np.asarray(value)

    def decode(self, data: np.ndarray) -> np.ndarray:
        return self.decode_all(data[None])[0]

    def decode_all(self, data: np.ndarray) -> np.ndarray:
        """Stored bytes (n, size) uint8 -> (n, *shape), a copy, since data may lie at odd addresses."""
        if not self.size:
            return np.empty((len(data), *self.shape), self.dtype)
        if self.dtype.kind == "b":
            return (data != 0).reshape(len(data), *self.shape)  # a bool of another byte than 0 and 1 confuses numpy
        if self.dtype.kind == "U":
            codes = data.copy().view(self.dtype.str[0] + "u4")
            if codes.size and codes.max() > sys.maxunicode:
                raise BetonError(f"its words hold the character number {codes.max()}, which there is not")
        return data.copy().view(self.dtype).reshape(len(data), *self.shape)

    @property
    def checked(self) -> bool:
        return self.dtype.kind == "U"

    def arguments(self) -> bytes:
        record = np.zeros((), layout.ARRAY)
        words = json.dumps(self.dtype.descr).encode()
        record["shape"][: len(self.shape)] = self.shape
        record["length"], record["dtype"] = len(words), words
        return record.tobytes()

    @classmethod
    def stored(cls, arguments: bytes) -> NDArrayField:
        """The field that a file's head describes; BetonError where it describes none."""
        record = np.frombuffer(arguments, layout.ARRAY)[0]
        length, shape = int(record["length"]), [int(side) for side in record["shape"]]
        while shape and shape[-1] == 0:
            del shape[-1]
        if length > layout.ARRAY["dtype"].itemsize:
            raise BetonError(f"its dtype has {length} bytes")
        words = bytes(arguments)[layout.ARRAY.fields["dtype"][1] :][:length]  # numpy would drop the zeros at its end
        try:
            ((name, dtype),) = json.loads(words)
            if name != "" or not DTYPE.fullmatch(dtype):
                raise ValueError
            return cls(np.dtype(dtype), shape)
        except ConfigError as error:
            raise BetonError(str(error)) from None
        except (ValueError, TypeError, RecursionError):
            raise BetonError(f"its dtype {words[:60]!r} is not one of plain numbers") from None


class TorchTensorField(NDArrayField):
    """Tensors of one dtype and shape, given as torch tensors or numpy arrays; a Reader gives numpy arrays.

    dtype: torch's or numpy's. bfloat16, which numpy lacks, is refused: store float32, or view it as int16.
    """

    kind = "tensor"

    def __init__(self, dtype: Any, shape: Sequence[int]):
        word = str(dtype)
        super().__init__(word.removeprefix("torch.") if word.startswith("torch.") else dtype, shape)

    def array(self, value: Any) -> np.ndarray:
        if hasattr(value, "detach"):  # a torch tensor, known without importing torch
            try:
                return value.detach().cpu().numpy()
            except (TypeError, RuntimeError) as error:
                raise BetonError(f"the tensor has no numpy form: {error}") from None
        return super().array(value)


def _whole_number(side: Any) -> int:
    if isinstance(side, bool) or not hasattr(side, "__index__"):
        raise TypeError(f"a side is a whole number, got {side!r}")
    return side.__index__()
