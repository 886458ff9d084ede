"""Plot the figures of a run into run/figures, from its checkpoints, data and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.loading.loader import Loader
from data_loading.sources.index import read_index
from data_loading.views import view_sets
from massrl.evaluation.embedding import Embedding
from massrl.evaluation.features import WHOLE, Features
from massrl.evaluation.neighbours import nearest
from massrl.report import style
from massrl.report.plots import feature_map, neighbours, tsne, views_grid
from massrl.runs.checkpoint import Checkpoint
from massrl.runs.own_code import check_class_paths

TITLES = {"pixels": "raw pixels", "random": "untrained"}
LEAST_POINTS = 5  # of a map: t-SNE has no neighbours to keep among fewer
MAP_POINTS, QUERIES, NEAR, ROWS, SIDE = 1000, 8, 5, 5, 96
Rows = Mapping[str, tuple[Features, Features]]


def draw(run: Path, features: Rows, train: Path, test: Path, methods: Sequence[str]) -> None:
    """Plot the views of each method, the t-SNE map of the test features, and nearest neighbours, into run/figures.

    features: row name -> (train, test) features, with rows "pixels" and "random".  train, test: the image data.
    methods: names of the trained rows, whose checkpoints are in run/<method>/checkpoints.
    """
    for name in methods:
        views_of_run(run / name, train, run / "figures" / f"views_{name}.png")
    draw_map(run, features, test)
    draw_neighbours(run, {name: features[name] for name in ("pixels", "random", methods[0])}, train, test)


def views_of_run(run: Path, data: str | Path | Sequence[Path], path: Path) -> Path:
    """Plot views as a run trained on them, one row per image, for the first 5 images of epoch 0 under seed 0.

    data: the training data.  Returns `path`, the file of the figure.
    """
    config = Checkpoint.read(run).data()
    check_class_paths(config["view_set"], f"{run}: trained with views of")
    view_set, normalise = view_sets.get(config["view_set"]), {"mean": config["mean"], "std": config["std"]}
    batch = next(
        iter(Loader(data, ROWS, view_set, num_workers=1, batches_ahead=1, drop_last=False, **normalise, **WHOLE))
    )
    originals = pixels(data, batch.index.numpy(), max(view_set.size, 8))
    return style.save(path, lambda: views_grid(batch, config["mean"], config["std"], originals, ROWS))


def draw_map(run: Path, features: Rows, test: Path) -> Path:
    """Plot t-SNE maps of the test features of every row, of at most MAP_POINTS random images (fixed seed)."""
    some = next(iter(features.values()))[1]
    rows = np.sort(np.random.default_rng(0).permutation(len(some))[:MAP_POINTS])
    points = {TITLES.get(name, title(name)): tsne(pair[1].x[rows]) for name, pair in features.items()}
    y = some.y[rows] if some.labelled else None
    return style.save(run / "figures" / "feature_map.png", lambda: feature_map(points, y, class_names(test)))


def draw_embedding(embedding: Embedding, path: Path) -> Path:
    """Plot a t-SNE map of features, of at most MAP_POINTS random images (fixed seed), to `path`, a PNG."""
    rows = np.sort(np.random.default_rng(0).permutation(len(embedding))[:MAP_POINTS])
    y = embedding.y[rows] if (embedding.y >= 0).all() else None
    points = {f"{embedding.layer}, {embedding.method}": tsne(embedding.x[rows])}
    return style.save(path, lambda: feature_map(points, y, embedding.classes), both=False)


def draw_neighbours(run: Path, features: Rows, train: Path, test: Path) -> Path:
    """`neighbour_pictures` of a run folder, into run/figures."""
    return neighbour_pictures(features, train, test, run / "figures" / "neighbours.png")


def neighbour_pictures(features: Rows, train: Path | list[Path], test: Path | list[Path], path: Path) -> Path:
    """Plot the nearest training images of random test images (fixed seed) under the features of each row, to `path`."""
    _, test_features = next(iter(features.values()))
    queries = some_of_each(test_features.y, QUERIES)
    size = shown_side(train)
    images, correct = {}, {}
    for name, (bank, test_rows) in features.items():
        # by the cosine of raw features, as in the protocol knn
        index = np.concatenate([near for _, near in nearest(bank.x, test_rows.x[queries], NEAR)])
        label = TITLES.get(name, title(name))
        images[label] = pixels(train, bank.index[index.ravel()], size).reshape(*index.shape, size, size, 3)
        correct[label] = bank.y[index] == test_rows.y[queries][:, None]
    query_images = pixels(test, test_features.index[queries], size)
    frames = correct if test_features.labelled else None
    return style.save(path, lambda: neighbours(query_images, images, frames))


def pixels(path: str | Path | Sequence[Path], rows: np.ndarray, size: int) -> np.ndarray:
    """Centre crops without augmentation, uint8 (N, size, size, 3), of the rows (N,) of a file, in their order."""
    loader = Loader(
        path, 64, "eval", size=size, num_workers=1, order="sequential", indices=rows, dtype="uint8", **WHOLE
    )
    blocks = [batch.views[0][batch.valid].numpy() for batch in loader]
    return np.concatenate(blocks).transpose(0, 2, 3, 1)


def shown_side(path: str | Path | Sequence[str | Path]) -> int:
    """Side in pixels at which to show images: their median side, at most SIDE."""
    with Reader(sources.as_beton(path)) as reader:
        table = reader.image_table()
        return min(SIDE, int(np.median(np.minimum(table.height, table.width))))


def some_of_each(y: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` random row indices, spread over the classes as evenly as possible and sorted by class.

    y: (N,) int64 labels.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    turn = np.zeros(len(y), int)  # 0 for the first sampled row of a class, 1 for the second, ...
    seen: dict[int, int] = {}
    for row in order:
        turn[row] = seen[int(y[row])] = seen.get(int(y[row]), -1) + 1
    chosen = order[np.argsort(turn[order], kind="stable")][:count]
    return chosen[np.argsort(y[chosen], kind="stable")]


def class_names(path: str | Path | Sequence[str | Path]) -> list[str] | None:
    """Class names of an image folder, from the index of its file in the cache; None for other data."""
    return (read_index(sources.as_beton(path)) or {}).get("classes")


def title(name: str) -> str:
    """Spelling of a method's name: "MASSRL" for "massrl"; names of no method are unchanged."""
    from massrl.methods import METHODS

    return next((known for known in METHODS if known.lower() == name.lower().replace("_", "")), name)
