"""Measures of features that need no labels, as pure functions in float64.

Several definitions of these names are in use, so each docstring says which one this is; `DEFINITIONS` has them in one
line each, and every result carries them. What is compared must be alike: the same images, the same network width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import eigh
from torch import Tensor, nn

from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.views.view_set import ViewSet
from massrl.evaluation.features import device_of
from massrl.nn.modes import evaluating

TINY = np.finfo(np.float64).tiny
CHUNK = 1024  # rows that are compared with all others at once
DEFINITIONS = {
    "rankme": "RankMe, arXiv:2210.02885, eq. 1: exp(-sum p log p), p = s / sum(s) + 1e-7, s the singular values of the "
    "features, not centred",
    "lidar": "LiDAR, arXiv:2312.04000: exp(-sum p log p), p = l / sum(l) + 1e-8, l the eigenvalues of "
    "Sw^-1/2 Sb Sw^-1/2; classes are the views of one image, Sw = pooled covariance of the views + 1e-4 I",
    "alpha_req": "alpha-ReQ, NeurIPS 2022: -slope of log l_j over log j, by least squares with weights 1/j, l the "
    "eigenvalues of the covariance; range of j as stated",
    "uniformity": "Wang and Isola, arXiv:2005.10242: log mean exp(-2 |x - y|^2) over pairs of images, features "
    "of norm 1",
    "alignment": "Wang and Isola, arXiv:2005.10242, alpha = 2: mean |x - y|^2 over pairs of views of one image, "
    "features of norm 1",
    "spread": "SimSiam, arXiv:2011.10566, sec. 4.1: standard deviation of each channel of the features of norm 1, "
    "averaged, times sqrt(D): 0 if all are equal, about 1 if they are even on the sphere",
    "target_entropy": "mean over images of -sum q log q of the targets q over K prototypes, in nats; marginal: of the "
    "mean of q",
}


def _matrix(x: Any) -> np.ndarray:
    """`x` as a float64 array (N, F)."""
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or not x.size:
        raise ValueError(f"features have shape {x.shape}; give (N, F), neither of them 0")
    return x


def normalised(x: Any) -> np.ndarray:
    """Rows of x (N, F) divided by their norms, float64; rows of zeros stay zeros."""
    x = _matrix(x)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _effective(values: np.ndarray, eps: float) -> float:
    """exp of the entropy of p = values / sum(values) + eps."""
    p = values / max(float(values.sum()), TINY) + eps
    return float(np.exp(-np.sum(p * np.log(p))))


def rankme(x: Any) -> float:
    """Effective rank of features x (N, F):  exp(-sum p log p),  p = s / sum(s) + 1e-7,  s the singular values of x.

    Garrido et al., "RankMe", arXiv:2210.02885, eq. 1. Ranges from 1 (all features on one line) to min(N, F). As in the
    paper, features are not centred. Others take eigenvalues of the covariance, or add 1e-5.
    """
    return _effective(np.linalg.svd(_matrix(x), compute_uv=False), 1e-7)


def rankme_of_gram(gram: Any, width: int) -> float:
    """`rankme` of features x (N, F) from x x^T (N, N) and F: singular values are roots of its eigenvalues.

    Cheaper where F is large. Singular values below 1e-8 of the largest are lost, which changes the rank by about 1e-3.
    """
    gram = _matrix(gram)
    squares = np.linalg.eigvalsh(gram)[::-1][: min(len(gram), width)]
    return _effective(np.sqrt(squares.clip(min=0)), 1e-7)


def lidar(x: Any, delta: float = 1e-4, eps: float = 1e-8) -> float:
    """Rank of what tells images apart, compared with what differs between views of one image; 1 to min(n - 1, F).

    Thilak et al., "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures", arXiv:2312.04000:
        Sb = sum_i (m_i - m)(m_i - m)^T / (n - 1)      Sw = sum_ik (x_ik - m_i)(x_ik - m_i)^T / (n (q - 1)) + delta I
        exp(-sum p log p),  p = l / sum(l) + eps,  l the eigenvalues of Sw^-1/2 Sb Sw^-1/2
    m_i: the mean of the q views of image i.  x: (n, q, F), at least 2 images and 2 views; the paper has n 1000, q 50,
    delta 1e-4, eps 1e-8. The features' scale matters beside delta. Measures of consecutive samples in place of the
    views of one image, as some code has them, are something else.
    """
    x = np.asarray(x, np.float64)
    if x.ndim != 3 or x.shape[0] < 2 or x.shape[1] < 2:
        raise ValueError(f"lidar takes (n, q, F), at least 2 images of 2 views; got {x.shape}")
    n, q, width = x.shape
    means = x.mean(1)
    between = means - means.mean(0)
    within = (x - means[:, None]).reshape(n * q, width)
    s_b = between.T @ between / (n - 1)
    s_w = within.T @ within / (n * (q - 1)) + delta * np.eye(width)
    # eigenvalues of Sw^-1/2 Sb Sw^-1/2 are those of the pair: Sb v = l Sw v
    return _effective(eigh(s_b, s_w, eigvals_only=True).clip(min=0), eps)


def lidar_of_gram(gram: Any, views: int) -> float:
    """`lidar` of features x (n, q, F) from x x^T (n q, n q), rows image by image, and q, at a cost that F does not set.

    Features are turned onto the directions that they span, which changes no eigenvalue but takes zeros away: 1e-8 for
    each of the F - n q others lowers the result by less than one part in a thousand.
    """
    values, vectors = np.linalg.eigh(_matrix(gram))
    kept = values >= 1e-12 * values[-1]
    kept[-1] = True  # of features that are all zeros
    turned = vectors[:, kept] * np.sqrt(values[kept].clip(min=0))
    return lidar(turned.reshape(-1, views, turned.shape[1]))


class PowerLaw(NamedTuple):
    """alpha: exponent of the eigenvalues' decay.  r2: share of the variance of log l_j that the line explains.

    first, last: the range of j that was fitted, counted from 1. alpha and r2 are NaN where there are fewer than 3.
    """

    alpha: float
    r2: float
    first: int
    last: int


def alpha_req(x: Any, first: int = 5, last: int = 100) -> PowerLaw:
    """Exponent alpha of l_j ~ j^-alpha, the eigenvalues of the covariance of features x (N, F), largest first.

    Agrawal et al., "alpha-ReQ: Assessing Representation Quality in Self-Supervised Learning by Measuring Eigenspectrum
    Decay", NeurIPS 2022; fit as in their package reptrix: least squares of log l_j on -log j with weights 1/j, for j
    from `first` to `last`, both included. Near 1 is good by the paper; below, the tail is heavy; above, a few
    directions have everything. The range decides the result, and r2 says whether there is a power law.

    `last` is lowered to the number of eigenvalues above 1e-12 of the largest.
    """
    x = _matrix(x)
    values = np.linalg.svd(x - x.mean(0), compute_uv=False) ** 2 / max(len(x) - 1, 1)
    return _power_law(values, first, last)


def alpha_req_of_gram(gram: Any, width: int, first: int = 5, last: int = 100) -> PowerLaw:
    """`alpha_req` of features x (N, F) from x x^T (N, N) and F."""
    gram = _matrix(gram)
    centred = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    values = np.linalg.eigvalsh(centred)[::-1][: min(len(gram), width)]
    return _power_law(values.clip(min=0) / max(len(gram) - 1, 1), first, last)


def _power_law(values: np.ndarray, first: int, last: int) -> PowerLaw:
    """The fit of `alpha_req` to eigenvalues, largest first."""
    if not 1 <= first < last:
        raise ValueError(f"first is {first} and last is {last}; they need 1 <= first < last")
    usable = int((values > 1e-12 * max(float(values[0]), TINY)).sum())
    last = min(last, usable)
    if last - first < 2:
        return PowerLaw(float("nan"), float("nan"), first, last)
    j = np.arange(first, last + 1)
    w, t, y = 1.0 / j, -np.log(j), np.log(values[first - 1 : last])
    t0, y0 = np.average(t, weights=w), np.average(y, weights=w)
    alpha = np.sum(w * (t - t0) * (y - y0)) / np.sum(w * (t - t0) ** 2)
    rest, whole = np.sum(w * (y - y0 - alpha * (t - t0)) ** 2), np.sum(w * (y - y0) ** 2)
    return PowerLaw(float(alpha), float(1 - rest / whole) if whole > 0 else 1.0, first, last)


def uniformity(x: Any) -> float:
    """How evenly features lie on the unit sphere:  log of the mean over pairs i < j of exp(-2 |x_i - x_j|^2).

    Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
    Hypersphere", arXiv:2005.10242, with t = 2.  x: (N, F), normalised here, at least 2 rows. From -8 (two opposite
    points) to 0 (all equal, collapse); about -4 for even features of many dimensions. Lower is more even.
    """
    x = normalised(x)
    if len(x) < 2:
        raise ValueError("uniformity compares pairs of images; give at least 2 rows")
    total = sum(_kernels(x[at : at + CHUNK] @ x[at:].T) for at in range(0, len(x), CHUNK))
    return float(np.log(max(total / (len(x) * (len(x) - 1) / 2), TINY)))


def uniformity_of_gram(gram: Any) -> float:
    """`uniformity` of features x (N, F) from x x^T (N, N)."""
    gram = _matrix(gram)
    norms = np.sqrt(np.diag(gram).clip(min=1e-24))
    return float(np.log(max(_kernels(gram / norms / norms[:, None]) / (len(gram) * (len(gram) - 1) / 2), TINY)))


def _kernels(cosines: np.ndarray) -> float:
    """Sum of exp(-2 d^2) over pairs above the diagonal of a block of cosines (n, m)."""
    return float(np.triu(np.exp(-2 * (2 - 2 * cosines).clip(min=0)), 1).sum())


def alignment(x: Any, y: Any) -> float:
    """Mean squared distance of positive pairs on the unit sphere:  mean over i of ||x_i/|x_i| - y_i/|y_i|||^2, in 0..4.

    Wang & Isola, arXiv:2005.10242, with alpha = 2.  x, y: (N, F) features of two views of the same N images.
    """
    return float(np.square(normalised(x) - normalised(y)).sum(1).mean())


def alignment_of_views(x: Any) -> float:
    """`alignment` of q views of each image, x (n, q, F): the mean over all pairs of views of one image."""
    x = np.asarray(x, np.float64)
    if x.ndim != 3 or x.shape[1] < 2:
        raise ValueError(f"alignment_of_views takes (n, q, F), at least 2 views; got {x.shape}")
    n, q, width = x.shape
    x = normalised(x.reshape(n * q, width)).reshape(x.shape)
    # sum over ordered pairs k != l of |x_k - x_l|^2 = 2 q sum |x_k|^2 - 2 |sum x_k|^2
    pairs = 2 * q * np.square(x).sum((1, 2)) - 2 * np.square(x.sum(1)).sum(1)
    return float(pairs.clip(min=0).mean() / (q * (q - 1)))


def spread(x: Any) -> float:
    """Standard deviation of each channel of x/|x| over the images, averaged, times sqrt(F); x (N, F).

    Chen & He, "Exploring Simple Siamese Representation Learning", arXiv:2011.10566, sec. 4.1, relative to 1/sqrt(D),
    which even features have: 0 where all images are alike (collapse), about 1 where they are even on the sphere, at
    most 1.
    """
    x = normalised(x)
    return float(x.std(0).mean() * np.sqrt(x.shape[1]))


class Entropies(NamedTuple):
    """Entropies in nats of targets over K prototypes: the mean over images, and that of the mean target."""

    each: float
    marginal: float


def target_entropy(q: Any) -> Entropies:
    """Entropies of targets q (B, K), rows of which sum to 1: H(q_b) averaged over images, and H of the mean of q_b.

    The first as in DINO's study of collapse, arXiv:2104.14294. Both are from 0 to log K, the second at least as
    large. Their difference is the information of the targets about the images: 0 in both kinds of collapse, where every
    image has the even target (both log K) and where all images have one prototype (both 0).
    """
    q = _matrix(q)

    def entropy(p: np.ndarray) -> np.ndarray:
        return -np.sum(p * np.log(np.maximum(p, TINY)), axis=-1)

    return Entropies(float(entropy(q).mean()), float(entropy(q.mean(0))))


def strategy_distances(z: Any) -> np.ndarray:
    """Mean over images of 1 - cosine of two views, (S, S), for each pair of strategies (s, t) on two different crops.

    z: (S, 2, n, D) embeddings of n images: strategy, crop. Symmetric: the mean of (s on crop 0, t on crop 1) and of
    (t on crop 0, s on crop 1). From 0 (views alike) to 2; the larger, the harder the strategies are for each other.
    """
    z = np.asarray(z, np.float64)
    if z.ndim != 4 or z.shape[1] != 2:
        raise ValueError(f"strategy_distances takes (S, 2, n, D); got {z.shape}")
    z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
    one_way = 1 - np.einsum("snd,tnd->st", z[:, 0], z[:, 1]) / z.shape[2]
    return (one_way + one_way.T) / 2


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
        rank=0,
        world_size=1,  # all rows on each process of a training
    )
    pairs: tuple[list[Tensor], list[Tensor]] = ([], [])
    device = device_of(backbone)
    with evaluating(backbone):
        for batch in loader:
            for out, view in zip(pairs, batch.global_views[:2], strict=True):
                out.append(backbone(view.to(device)).float().cpu()[batch.valid])
    return alignment(torch.cat(pairs[0]), torch.cat(pairs[1]))
