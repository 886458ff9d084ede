"""Mixup: w x + (1 - w) x' and equally mixed labels; x' is the image before x in the batch, w from Beta(alpha, alpha).

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412 (alpha 0.1 to 0.4 on ImageNet).
"""

from __future__ import annotations

import numpy as np

from data_loading.ops.base import OPS
from data_loading.ops.mixing import Mixing


@OPS.register
class Mixup(Mixing):
    """Blend each image of a batch, and its label, with the one before it; for Batch.mix."""

    def __init__(self, alpha: float = 0.2, p: float = 1.0, same: bool = False, **common):
        super().__init__(alpha, p, same, **common)

    def mixed(self, images, drawn: np.ndarray):
        """Blend images (V, B, C, H, W), a tensor, by `drawn` (3, B), what `draw` returns.

        Returns the mixed images, of equal shape, dtype and device, and each image's own weight (B,) float64.
        """
        return tensor(images, images.roll(1, 1), drawn[0][:, None, None, None]), drawn[0]


def reference(images: np.ndarray, others: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """weight images + (1 - weight) others, arrays (..., C, H, W); weight is broadcast to them."""
    return weight * images + (1 - weight) * others


def tensor(images, others, weight: np.ndarray):
    """`reference` for tensors of any device and dtype, weight broadcast to images; integers are rounded half up."""
    import torch

    share = torch.as_tensor(weight, dtype=torch.float32, device=images.device)
    mixed = others.float().lerp(images.float(), share)  # exact where the weight is 1
    return (mixed if images.is_floating_point() else mixed.add_(0.5)).to(images.dtype)
