"""Memory of batches, used again once nobody refers to it.

The first touch of a new 77 MB block costs as much as rendering several images; reuse is free. A tensor, a slice or an
array of a batch keeps its block: it is handed out again only when the last of them is gone.
"""

from __future__ import annotations

import weakref
from collections import defaultdict, deque

import numpy as np
import torch
from torch import Tensor

# name -> the tensor's dtype, and the dtype that kernels write: numba has no 16-bit floats, it writes their bits
DTYPES = {
    "float32": (torch.float32, torch.float32),
    "float16": (torch.float16, torch.int16),
    "bfloat16": (torch.bfloat16, torch.int16),
    "uint8": (torch.uint8, torch.uint8),
}


class Blocks:
    """Blocks of memory of one dtype, a key of DTYPES; of each shape at most `keep` unused blocks are kept.

    pinned: page-locked memory for copies to a GPU; torch itself reuses it, once the copies are done.
    """

    def __init__(self, dtype: str, keep: int, pinned: bool = False):
        self.dtype, self.stored = DTYPES[dtype]
        self.pinned = pinned
        self._free: dict[tuple[int, ...], deque[Tensor]] = defaultdict(lambda: deque(maxlen=keep))

    def take(self, shape: tuple[int, ...]) -> tuple[Tensor, np.ndarray]:
        """An uninitialised tensor of this shape, and the array through which kernels write it."""
        if self.pinned:
            tensor = torch.empty(shape, dtype=self.stored, pin_memory=True)
            return tensor.view(self.dtype), tensor.numpy()
        free = self._free[shape]
        try:
            block = free.pop()
        except IndexError:
            block = torch.empty(shape, dtype=self.stored)
        lease = block.numpy()  # a new array each time; it lives as long as the storage of the tensor made from it
        weakref.finalize(lease, free.append, block).atexit = False
        return torch.from_numpy(lease).view(self.dtype), lease
