"""Draw the figures of a run into run/figures, from its checkpoints, data and features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_loading import sources
from data_loading.beton.reader import Reader
from data_loading.loading.loader import Loader
from data_loading.sources.cached import read_index
from data_loading.views import view_sets
from massrl.evaluation.features import Features
from massrl.evaluation.knn import neighbours as nearest
from massrl.report import style
from massrl.report.plots import feature_map, neighbours, tsne, views_grid
from massrl.runs.checkpoint import Checkpoint

TITLES = {"pixels": "raw pixels", "random": "untrained"}
MAP_POINTS, QUERIES, NEAR, ROWS, SIDE = 1000, 8, 5, 5, 96
Rows = Mapping[str, tuple[Features, Features]]


def draw(run: Path, features: Rows, train: Path, test: Path, methods: Sequence[str]) -> None:
    """Views of each method, the map of all rows' test features, and neighbours, into run/figures.

    features: row -> (train, test); methods: the rows that were trained, checkpoints in run/<method>/checkpoints.
    """
    for name in methods:
        views_of_run(run / name, train, run / "figures" / f"views_{name}.png")
    draw_map(run, features, test)
    draw_neighbours(run, {name: features[name] for name in ("pixels", "random", methods[0])}, train, test)


def views_of_run(run: Path, data: str | Path | Sequence[Path], path: Path) -> Path:
    """The views that a run trained on, for the images of the first batch that seed 0 draws: rows are images."""
    config = Checkpoint.read(run).data()
    view_set, normalise = view_sets.get(config["view_set"]), {"mean": config["mean"], "std": config["std"]}
    batch = next(iter(Loader(data, ROWS, view_set, num_workers=1, batches_ahead=1, drop_last=False, **normalise)))
    originals = pixels(data, batch.index.numpy(), max(view_set.size, 8))
    return style.save(path, lambda: views_grid(batch, config["mean"], config["std"], originals, ROWS))


def draw_map(run: Path, features: Rows, test: Path) -> Path:
    """t-SNE of the test features of every row, of at most MAP_POINTS images drawn with a key."""
    some = next(iter(features.values()))[1]
    rows = np.sort(np.random.default_rng(0).permutation(len(some))[:MAP_POINTS])
    points = {TITLES.get(name, title(name)): tsne(pair[1].x[rows]) for name, pair in features.items()}
    y = some.y[rows] if some.labelled else None
    return style.save(run / "figures" / "feature_map.png", lambda: feature_map(points, y, class_names(test)))


def draw_neighbours(run: Path, features: Rows, train: Path, test: Path) -> Path:
    """Nearest training images of some test images, drawn with a key and not chosen, under each row's features."""
    _, test_features = next(iter(features.values()))
    queries = some_of_each(test_features.y, QUERIES)
    size = shown_side(train)
    found, right = {}, {}
    for name, (bank, test_rows) in features.items():
        # centred by the mean of the training features, as the kNN protocol does it
        index = np.concatenate([near.numpy() for _, near in nearest(bank.x, test_rows.x[queries], NEAR)])
        label = TITLES.get(name, title(name))
        found[label] = pixels(train, bank.index[index.ravel()], size).reshape(*index.shape, size, size, 3)
        right[label] = bank.y[index] == test_rows.y[queries][:, None]
    images = pixels(test, test_features.index[queries], size)
    known = right if test_features.labelled else None
    return style.save(run / "figures" / "neighbours.png", lambda: neighbours(images, found, known))


def pixels(path: str | Path | Sequence[Path], rows: np.ndarray, size: int) -> np.ndarray:
    """The clean centre view of some rows of a file, uint8 (N, size, size, 3), in the order of rows."""
    loader = Loader(path, 64, "eval", size=size, num_workers=1, order="sequential", indices=rows, dtype="uint8")
    blocks = [batch.views[0][batch.valid].numpy() for batch in loader]
    return np.concatenate(blocks).transpose(0, 2, 3, 1)


def shown_side(path: str | Path) -> int:
    """Side at which images are shown: at most SIDE, and not above what most of them have."""
    with Reader(sources.as_beton(path)) as reader:
        table = reader.image_table()
        return min(SIDE, int(np.median(np.minimum(table.height, table.width))))


def some_of_each(y: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """`count` rows, of as many classes as there are, drawn with a key; sorted by class."""
    order = np.random.default_rng(seed).permutation(len(y))
    turn = np.zeros(len(y), int)  # 0 for the first row drawn of a class, 1 for the second ...
    seen: dict[int, int] = {}
    for row in order:
        turn[row] = seen[int(y[row])] = seen.get(int(y[row]), -1) + 1
    chosen = order[np.argsort(turn[order], kind="stable")][:count]
    return chosen[np.argsort(y[chosen], kind="stable")]


def class_names(path: str | Path) -> list[str] | None:
    """Names of the classes of a folder, which stand beside its file in the cache; None for other files."""
    return (read_index(sources.as_beton(path)) or {}).get("classes")


def title(name: str) -> str:
    """How a method is written: "MASSRL" for massrl; a name that is none stays."""
    from massrl.methods import METHODS

    return next((known for known in METHODS if known.lower() == name.lower().replace("_", "")), name)
