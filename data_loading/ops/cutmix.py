"""CutMix: paste a box of the image before into each image; labels are mixed by area.

Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019,
arXiv:1905.04899. w is sampled from Beta(alpha, alpha). The box has sqrt(1 - w) of the image's height and width and a
uniform centre, and is cut off at the border; the image's own weight is then the fraction of its area outside the box,
as in torchvision.
"""

from __future__ import annotations

import numpy as np

from data_loading.ops.base import OPS
from data_loading.ops.mixing import Mixing


@OPS.register
class CutMix(Mixing):
    """Paste a box of the image before into each image of a batch, labels by area; for Batch.mix."""

    def __init__(self, alpha: float = 1.0, p: float = 1.0, same: bool = False, **common):
        super().__init__(alpha, p, same, **common)

    def mixed(self, images, drawn: np.ndarray):
        """Paste boxes into images (V, B, C, H, W), a tensor, by `drawn` (3, B), what `draw` returns.

        Returns the mixed images, of equal shape, dtype and device, and each image's own weight (B,) float64.
        """
        height, width = images.shape[-2:]
        weight, across, down = drawn
        box = boxes(weight, across, down, height, width)
        x0, y0, x1, y1 = box
        return tensor(images, images.roll(1, 1), box), 1 - (x1 - x0) * (y1 - y0) / (width * height)


def boxes(weight: np.ndarray, across: np.ndarray, down: np.ndarray, height: int, width: int) -> np.ndarray:
    """Boxes (4, B) int64, x0, y0, x1, y1 in pixels, for views of any height and width.

    weight (B,): of the image itself, before the border cuts the box.  across, down (B,) in [0, 1): the centre, as a
    fraction of width and height.
    """
    half = 0.5 * np.sqrt(1 - weight)
    x, y = (across * width).astype(int), (down * height).astype(int)
    w, h = (half * width).astype(int), (half * height).astype(int)
    return np.stack([(x - w).clip(0), (y - h).clip(0), (x + w).clip(max=width), (y + h).clip(max=height)])


def reference(image: np.ndarray, other: np.ndarray, box: np.ndarray) -> np.ndarray:
    """image (C, H, W) with the pixels of `other` (C, H, W) inside box (4,), x0, y0, x1, y1 in pixels."""
    x0, y0, x1, y1 = box
    out = image.copy()
    out[:, y0:y1, x0:x1] = other[:, y0:y1, x0:x1]
    return out


def tensor(images, others, box: np.ndarray):
    """`reference` for batches (..., B, C, H, W) on any device; box (4, B): one for each image."""
    import torch

    x0, y0, x1, y1 = torch.as_tensor(box, device=images.device)[:, :, None, None, None]  # (B, 1, 1, 1) each
    y, x = (torch.arange(n, device=images.device) for n in images.shape[-2:])
    inside = (y[:, None] >= y0) & (y[:, None] < y1) & (x >= x0) & (x < x1)  # (B, 1, H, W)
    return others.where(inside, images)
