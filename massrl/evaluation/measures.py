"""Measures without labels: effective rank of the features, and alignment of two views of an image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.views.view_set import ViewSet
from massrl.evaluation.features import device_of
from massrl.nn.modes import evaluating


def rankme(x: np.ndarray) -> float:
    """Effective rank of features x (N, F):  exp(-sum p log p),  p = s / sum(s) + 1e-7,  s the singular values of x.

    Garrido et al., "RankMe", arXiv:2210.02885, eq. 1. Ranges from 1 (all features on one line) to min(N, F). As in the
    paper, features are not centred.
    """
    s = np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)
    p = s / max(s.sum(), np.finfo(np.float64).tiny) + 1e-7
    return float(np.exp(-np.sum(p * np.log(p))))


def alignment(x: Tensor, y: Tensor) -> float:
    """Mean squared distance of positive pairs on the unit sphere:  mean over i of ||x_i/|x_i| - y_i/|y_i|||^2, in 0..4.

    Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", arXiv:2005.10242, with alpha = 2.  x, y: (N, F) features of two views of the same N images.
    """
    return float((F.normalize(x.double(), dim=1) - F.normalize(y.double(), dim=1)).square().sum(1).mean())


@torch.no_grad()
def view_alignment(
    backbone: nn.Module,
    path: str | Path,
    views: str | ViewSet,
    *,
    size: int | None = None,
    batch_size: int = 256,
    num_workers: int = 2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    indices: Sequence[int] | None = None,
    seed: int = 0,
) -> float:
    """`alignment` of the features of two random views of each image, in 0..4.

    backbone: images (B, 3, size, size) -> (B, F), used in eval mode.  path: a .beton file or a folder.
    views: a view set or its name; its first two global views are used.  size: of the views, pixels.
    mean, std: of the normalisation (the loader's default when None).  indices: rows to use (default: all).
    seed: of the views.
    """
    loader = Loader(
        path,
        batch_size,
        views,
        size=size,
        num_workers=num_workers,
        seed=seed,
        order="sequential",
        indices=indices,
        mean=IMAGENET_MEAN if mean is None else mean,
        std=IMAGENET_STD if std is None else std,
    )
    pairs: tuple[list[Tensor], list[Tensor]] = ([], [])
    device = device_of(backbone)
    with evaluating(backbone):
        for batch in loader:
            for out, view in zip(pairs, batch.global_views[:2], strict=True):
                out.append(backbone(view.to(device)).float().cpu()[batch.valid])
    return alignment(torch.cat(pairs[0]), torch.cat(pairs[1]))
