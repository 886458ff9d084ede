"""Judge: the whole evaluation of checkpoints on a train and a test file, beside untrained weights and pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from data_loading.views.view_set import ViewSet
from massrl.evaluation.features import Features, extract
from massrl.evaluation.knn import KNN
from massrl.evaluation.linear import Linear
from massrl.evaluation.measures import rankme, view_alignment
from massrl.evaluation.table import compare
from massrl.evaluation.untrained import untrained_twin
from massrl.methods import load
from massrl.runs.record import data_config


@dataclass(frozen=True)
class Judged:
    """result: as `compare` gives it, or {"rank", "alignment", "untrained"}; features: row -> (train, test)."""

    result: dict
    features: dict[str, tuple[Features, Features]]


def accuracies(
    checkpoints: Mapping[str, Path],
    train: Path,
    test: Path,
    *,
    knn: KNN | None = None,
    linear: Linear | None = None,
    draws: int = 20,
    seed: int = 0,
    num_workers: int = 2,
) -> Judged:
    """Rows "pixels", "random" (the first checkpoint's architecture, untrained) and one for each checkpoint."""
    features, _ = _features(checkpoints, train, test, seed, num_workers)
    return Judged(compare(features, knn=knn, linear=linear, draws=draws, seed=seed), features)


def label_free(
    name: str, checkpoint: Path, train: Path, test: Path, views: ViewSet, *, seed: int = 0, num_workers: int = 2
) -> Judged:
    """What can be said without labels, beside the same of the untrained network.

    rank: effective rank (RankMe) of the training images' features, which are more than the features' width; alignment:
    mean squared distance of two views of a held-out image on the unit sphere.
    """
    features, networks = _features({name: checkpoint}, train, test, seed, num_workers)
    data = data_config(checkpoint)
    normalise = {"mean": data["mean"], "std": data["std"], "num_workers": num_workers}
    measured = {
        row: {
            "rank": rankme(features[row][0].x),
            "alignment": view_alignment(network, test, views, seed=seed, **normalise),
        }
        for row, network in networks.items()
    }
    return Judged({**measured[name], "untrained": measured["random"]}, features)


def _features(checkpoints: Mapping[str, Path], train: Path, test: Path, seed: int, num_workers: int):
    """(row -> (train, test) features, row -> network), the networks on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows: dict[str, tuple[Features, Features]] = {}
    networks: dict[str, nn.Module] = {}
    for name, checkpoint in checkpoints.items():
        data, backbone = data_config(checkpoint), load(checkpoint).encoder.to(device)
        normalise = {"mean": data["mean"], "std": data["std"], "num_workers": num_workers}
        if not rows:
            rows["pixels"] = tuple(extract(None, p, data["size"], num_workers=num_workers) for p in (train, test))
            networks["random"] = untrained_twin(backbone, train, data["size"], seed=seed, **normalise)
            rows["random"] = tuple(extract(networks["random"], p, data["size"], **normalise) for p in (train, test))
        networks[name] = backbone
        rows[name] = tuple(extract(backbone, p, data["size"], **normalise) for p in (train, test))
    return rows, networks
