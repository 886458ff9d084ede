"""The whole evaluation of one or more checkpoints, with labels or without, beside untrained weights and pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_loading.views.view_set import ViewSet
from massrl.evaluation.knn import KNN
from massrl.evaluation.linear import Linear
from massrl.evaluation.measures import rankme, view_alignment
from massrl.evaluation.rows import UNTRAINED, FeatureRows, feature_rows
from massrl.evaluation.table import compare


@dataclass(frozen=True)
class Evaluated:
    """result: as `compare` gives it, or {"rank", "alignment", "untrained"}; rows: the features behind it."""

    result: dict[str, Any]
    rows: FeatureRows


def accuracies(
    checkpoints: Mapping[str, str | os.PathLike],
    train: Path,
    test: Path,
    *,
    knn: KNN | None = None,
    linear: Linear | None = None,
    draws: int = 20,
    seed: int = 0,
    num_workers: int = 2,
    cache_dir: str | os.PathLike | None = None,
) -> Evaluated:
    """kNN and linear accuracies of each checkpoint beside "pixels" and "random", on the same label subsets.

    checkpoints: row -> file, run folder or `Run`.  draws: random label subsets of the small label sets.
    """
    rows = feature_rows(checkpoints, train, test, seed=seed, num_workers=num_workers, cache_dir=cache_dir)
    return Evaluated(compare(rows.features, knn=knn, linear=linear, draws=draws, seed=seed), rows)


def label_free(
    name: str,
    checkpoint: str | os.PathLike,
    train: Path,
    test: Path,
    views: ViewSet,
    *,
    seed: int = 0,
    num_workers: int = 2,
    cache_dir: str | os.PathLike | None = None,
) -> Evaluated:
    """What can be said of an encoder without labels, beside the same of the untrained network.

    rank: effective rank (RankMe) of the training images' features.  alignment: mean squared distance of two views of a
    held-out image on the unit sphere.
    """
    rows = feature_rows({name: checkpoint}, train, test, seed=seed, num_workers=num_workers, cache_dir=cache_dir)
    options: dict[str, Any] = {"mean": rows.mean, "std": rows.std, "num_workers": num_workers, "seed": seed}
    measured = {
        row: {
            "rank": rankme(rows.features[row][0].x),
            "alignment": view_alignment(rows.networks[row](), test, views, **options),
        }
        for row in (UNTRAINED, name)
    }
    return Evaluated({**measured[name], "untrained": measured[UNTRAINED]}, rows)
