"""Measures that need no labels: how many directions the features use, and how near two views of an image lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_loading.loading.loader import Loader
from data_loading.views.view_set import ViewSet
from massrl.evaluation.features import device_of
from massrl.nn.modes import evaluating


def rankme(x: np.ndarray) -> float:
    """Effective rank of features x (N, F): exp(-sum p log p) over their singular values, p = s / sum(s) + 1e-7.

    Garrido et al., "RankMe", arXiv:2210.02885, eq. 1. From 1 (one direction) to min(N, F); not centred, as there.
    """
    s = np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)
    p = s / max(s.sum(), np.finfo(np.float64).tiny) + 1e-7
    return float(np.exp(-np.sum(p * np.log(p))))


def alignment(x: Tensor, y: Tensor) -> float:
    """Mean squared distance of positives on the unit sphere: mean ||x_i - y_i||^2, x and y (N, F) of any norm; 0 to 4.

    Wang & Isola, "Understanding Contrastive Representation Learning", arXiv:2005.10242, with alpha = 2.
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
    """Alignment of the features of the first two global views of each image, drawn with `seed`."""
    normalise = {k: v for k, v in (("mean", mean), ("std", std)) if v is not None}
    options = {"size": size, "num_workers": num_workers, "indices": indices, "seed": seed}
    loader = Loader(path, batch_size, views, order="sequential", **options, **normalise)
    pairs: tuple[list, list] = ([], [])
    device = device_of(backbone)
    with evaluating(backbone):
        for batch in loader:
            for out, view in zip(pairs, batch.global_views[:2], strict=True):
                out.append(backbone(view.to(device)).float().cpu()[batch.valid])
    return alignment(torch.cat(pairs[0]), torch.cat(pairs[1]))
