"""The fields of a file."""

from __future__ import annotations

from typing import Any

import torch

from data_loading.fields import BytesField, Field, FloatField, IntField, NDArrayField, RGBImageField, TorchTensorField
from data_loading.fields import JSONField as _JSONField

__all__ = [
    "BytesField",
    "Field",
    "FloatField",
    "IntField",
    "JSONField",
    "NDArrayField",
    "RGBImageField",
    "TorchTensorField",
]


class JSONField(_JSONField):
    """Values that Python's json can write. A loader gives their text as bytes; `unpack` reads a batch of them."""

    @staticmethod
    def unpack(batch: torch.Tensor) -> Any:
        """uint8 (B, n) -> a list of B Python values, or uint8 (n,) -> one value; each text ends with a zero."""
        array = torch.as_tensor(batch).cpu().numpy()
        values = [
            _JSONField().decode(row[: int((row == 0).argmax()) + 1]) for row in array.reshape(-1, array.shape[-1])
        ]
        return values[0] if array.ndim == 1 else values
