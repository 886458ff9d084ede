"""Fields of arrays, and their decoder."""

from data_loading.ffcv.fields import NDArrayField, TorchTensorField
from data_loading.ffcv.pipeline.operation import FieldDecoder

__all__ = ["NDArrayDecoder", "NDArrayField", "TorchTensorField"]


class NDArrayDecoder(FieldDecoder):
    """An array field as a tensor (B, *shape) of the field's dtype."""

    kinds = ("ndarray", "tensor")
