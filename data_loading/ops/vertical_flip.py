"""Vertical flip: mirror top and bottom. It has no kernel: the renderer writes the rows in reverse order."""

from __future__ import annotations

import numpy as np

from data_loading.ops.base import OPS, Op
from data_loading.ops.step import step

VERTICAL_FLIP = 18  # the code of the step, as saved plans hold it


@OPS.register
class VerticalFlip(Op):
    """Mirror top and bottom, with probability 0.5 unless said."""

    rule = VERTICAL_FLIP

    def __init__(self, p: float = 0.5, **common):
        super().__init__(p, **common)


def reference(image: np.ndarray) -> np.ndarray:
    """image (3, H, W)."""
    return image[:, ::-1]


def tensor(images):
    """images (N, 3, H, W)."""
    return images.flip(-2)


step(VERTICAL_FLIP, "vertical_flip", reference=reference, tensor=tensor, on_rows=True)
