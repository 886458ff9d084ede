"""Join views of one size into one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def stack_views(views: Sequence[Tensor]) -> Tensor:
    """V views (B, ...) as one tensor (V*B, ...), view after view; no copy if they are adjacent slices of one block."""
    first = views[0]
    step = first.numel()
    together = all(
        x.shape == first.shape
        and x.is_contiguous()
        and not x.requires_grad
        and x.untyped_storage().data_ptr() == first.untyped_storage().data_ptr()
        and x.storage_offset() == first.storage_offset() + i * step
        for i, x in enumerate(views)
    )
    if not together:
        return torch.cat(list(views))
    return first.as_strided((len(views) * len(first), *first.shape[1:]), first.stride(), first.storage_offset())
