"""Measures without labels of a checkpoint: the function under `massrl measure`, and its result."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_loading.beton.reader import Reader
from data_loading.errors import CheckpointError, ConfigError
from data_loading.loading.loader import Loader
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from data_loading.views import view_sets
from data_loading.views.view_set import ViewSet
from massrl.evaluation import measures
from massrl.evaluation.features import WHOLE, Features, cached, device_of
from massrl.evaluation.layers import names, network_of
from massrl.evaluation.options import check_options
from massrl.evaluation.rows import (
    UNTRAINED,
    Data,
    FeatureRows,
    Trained,
    all_versions,
    device,
    evenly,
    feature_rows,
    kept_in,
)
from massrl.evaluation.table import aligned, html_table
from massrl.methods import Method, load
from massrl.methods.base import Branch
from massrl.nn import evaluating
from massrl.runs.checkpoint import Checkpoint, find
from massrl.runs.own_code import check_class_paths
from massrl.runs.record import git, versions

CACHE = "runs/.cache"
MOST_IMAGES = 25600  # of RankMe's paper; of more images evenly spaced ones are measured
MOST_VIEWS = 1000  # of an image; the paper of LiDAR has 50
MOST_PAIRED = 4096  # images whose pairs uniformity takes
VERSION = "measures v1"
PROJECTOR = "projector"  # the layer of embeddings
BETTER = {
    "rankme": "higher, among trained",
    "lidar": "higher, among trained",
    "alpha_req": "near 1",
    "r2": "1, else no power law",
    "uniformity": "lower",
    "alignment": "lower, at a high rank",
    "spread": "near 1",
}
TITLES = {"trained": "trained", UNTRAINED: "untrained", "embeddings": "its embeddings"}


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    images: clean images.  paired: of them, those whose pairs uniformity takes.  lidar_images, lidar_views: n and q.
    first, last: range of j that alpha-ReQ fits, as asked for.
    """

    images: int
    paired: int
    lidar_images: int
    lidar_views: int
    first: int
    last: int


@dataclass(frozen=True, repr=False, eq=False)
class Measured:
    """What can be said of an encoder without labels, beside the same network untrained.

    values: column -> measure -> value, None where there is none; alpha_last is the last j that alpha-ReQ could fit. The
    columns are the encoder's features ("trained"), its untrained twin's ("random"), and the embeddings behind its
    projector ("embeddings"), where the method has one.
    strategies, distances: names (S,), and 1 - cosine (S, S) of the embeddings of two crops under each pair of them.
    entropies: "target_entropy", "marginal_entropy" and "log_prototypes" of methods with prototypes; else None.
    """

    values: dict[str, dict[str, float | None]]
    strategies: list[str]
    distances: np.ndarray
    entropies: dict[str, float] | None
    sizes: Sizes
    views: ViewSet
    seed: int
    data: str | list[str]
    rows: FeatureRows

    @property
    def rankme(self) -> float:
        """RankMe of the encoder's features."""
        return self._trained("rankme")

    @property
    def lidar(self) -> float:
        """LiDAR of the encoder's features."""
        return self._trained("lidar")

    @property
    def alpha_req(self) -> float:
        """alpha-ReQ of the encoder's features; NaN where too few eigenvalues are left to fit."""
        return self._trained("alpha_req")

    @property
    def uniformity(self) -> float:
        """Uniformity of the encoder's features."""
        return self._trained("uniformity")

    @property
    def alignment(self) -> float:
        """Alignment of the encoder's features of views of one image."""
        return self._trained("alignment")

    @property
    def spread(self) -> float:
        """Spread of the encoder's features over channels, 0 to 1."""
        return self._trained("spread")

    def _trained(self, name: str) -> float:
        value = self.values["trained"][name]
        return math.nan if value is None else value

    def to_dict(self) -> dict[str, Any]:
        """Plain values: each figure with its definition, and all that it depends on, as `--json` writes it."""
        rows = self.rows
        return {
            "protocol": VERSION,
            "measures": {TITLES[column].replace(" ", "_"): found for column, found in self.values.items()},
            "strategy_distances": {"strategies": self.strategies, "distances": self.distances.tolist()},
            "targets": self.entropies,
            "definitions": measures.DEFINITIONS,
            "parameters": {**asdict(self.sizes), "size": rows.size, "mean": rows.mean, "std": rows.std},
            "views": self.views.to_dict(),
            "checkpoint_sha256": rows.hashes["checkpoint"]["trained"],
            "data_sha256": rows.hashes["train"],
            "data": self.data,
            "layer": rows.layer,
            "branch": rows.branch,
            "seed": self.seed,
            "versions": versions(),
            "git": git(),
        }

    def cells(self) -> list[list[str]]:
        """The table of measures: a head, then a row for each."""
        head = ["", *(TITLES[column] for column in self.values), "better"]
        return [
            head,
            *([name, *(_text(found[name]) for found in self.values.values()), BETTER[name]] for name in BETTER),
        ]

    def strategy_cells(self) -> list[list[str]]:
        """The matrix of strategies: a head, then a row for each."""
        head = ["1 - cosine", *self.strategies]
        return [
            head,
            *([n, *(f"{x:.3f}" for x in row)] for n, row in zip(self.strategies, self.distances, strict=True)),
        ]

    def _caption(self) -> str:
        s, rows = self.sizes, self.rows
        return (
            f"{VERSION} of {rows.method}, {rows.branch} network, {rows.layer}: {s.images} images at {rows.size} px "
            f"(uniformity: {s.paired}; LiDAR and alignment: {s.lidar_images}, {s.lidar_views} views each; alpha-ReQ: j "
            f"from {s.first} to at most {s.last})"
        )

    def _notes(self) -> list[str]:
        """Lines below the tables: entropies of targets, and the definitions."""
        lines = []
        if self.entropies:
            each, marginal, most = self.entropies.values()
            lines.append(f"targets: entropy {each:.3f}, of their mean {marginal:.3f}, at most {most:.3f}")
        named = ["rankme", "lidar", "alpha_req", "uniformity", "alignment", "spread"]
        return lines + [f"{name}: {measures.DEFINITIONS[name]}" for name in named]

    def __repr__(self) -> str:
        parts = [self._caption(), aligned(self.cells())]
        if len(self.strategies) > 1:
            hard = "embeddings of two crops of an image, one under each strategy; the larger, the harder"
            parts += ["", f"pairs of strategies ({hard})", aligned(self.strategy_cells())]
        return "\n".join([*parts, "", *self._notes()])

    def _repr_html_(self) -> str:
        tables = [html_table(self.cells())] + ([html_table(self.strategy_cells())] if len(self.strategies) > 1 else [])
        notes = "".join(f"<p>{escape(line)}</p>" for line in self._notes())
        return f"<p>{escape(self._caption())}</p>{''.join(tables)}{notes}"


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def measure(
    checkpoint: str | os.PathLike,
    data: Data,
    *,
    views: str | ViewSet | None = None,
    lidar_images: int = 1000,
    lidar_views: int = 10,
    alpha_first: int = 5,
    alpha_last: int = 100,
    size: int | None = None,
    branch: Branch | None = None,
    seed: int = 0,
    batch_size: int = 256,
    num_workers: int = 2,
    cache_dir: str | os.PathLike = CACHE,
) -> Measured:
    """Measures of an encoder that need no labels, beside the same network untrained, as `massrl measure`.

    RankMe, LiDAR, alpha-ReQ, uniformity, alignment and spread; entropies of targets over prototypes; and how far apart
    pairs of augmentation strategies leave the embeddings of an image. docs/evaluation.md says what each tells.

    Args:
        checkpoint: a run, its folder, a checkpoint file, or "zoo:NAME".
        data: a folder of images or .beton files; labels are not read.
        views: the view set whose views LiDAR, alignment and the pairs of strategies take; that of the pretraining
            unless said.
        lidar_images: images of LiDAR and alignment, evenly spaced ones of all.
        lidar_views: views of each of them; the paper has 1000 images of 50 views.
        alpha_first: first eigenvalue that alpha-ReQ fits, counted from 1.
        alpha_last: last eigenvalue that alpha-ReQ fits.
        size: side of the view in pixels; that of the pretraining unless said.
        branch: online or target network; the one that the method's authors evaluate unless said.
        seed: of the untrained weights and the views.
        batch_size: images at once.
        num_workers: loader threads.
        cache_dir: where folders and features are kept.

    Raises:
        massrl.errors.UserError: a checkpoint, file or argument that does not fit, in one line.
    """
    check_options(size=size, batch_size=batch_size, num_workers=num_workers, seed=seed, cache_dir=cache_dir)
    _check(lidar_images, lidar_views, alpha_first, alpha_last)
    path = find(checkpoint)
    view_set = _view_set(path, views, size)
    pace: dict[str, Any] = {"batch_size": batch_size, "num_workers": num_workers}
    options: dict[str, Any] = {"size": size, "seed": seed, "cache_dir": cache_dir, "branch": branch, **pace}
    options["most"] = MOST_IMAGES
    rows = feature_rows({"trained": path}, data, data, **options)
    clean = {row: rows.features[row][0].x for row in ("trained", UNTRAINED)}
    networks = {row: rows.networks[row]() for row in clean}
    method = load(path)
    if PROJECTOR in names(method, branch):
        projected = feature_rows({"trained": path}, data, data, layers=[PROJECTOR], baselines=False, **options)
        clean["embeddings"] = projected.features["trained"][0].x
        networks["embeddings"] = Embedder(network_of(method, [PROJECTOR], branch)).to(device())
    with Reader(rows.files["train"]) as reader:
        every = len(reader)
    if every < 2:
        raise ConfigError(f"{data}: holds {every} image; measures compare at least 2")
    n = min(every, lidar_images)
    sizes = Sizes(min(every, MOST_IMAGES), min(every, MOST_PAIRED), n, lidar_views, alpha_first, alpha_last)
    rendered = Rendered(rows.files["train"], view_set, evenly(every, n), rows.mean, rows.std, seed, **pace)
    (facts,) = Trained.read(path, size, branch=branch).facts().values()  # of one layer; the rows' names tell networks
    facts |= {"data": rows.hashes["train"], "versions": all_versions(), **rendered.facts(lidar_views)}
    facts |= {"mean": rows.mean, "std": rows.std}
    values, keep = {}, kept_in(Path(cache_dir), facts)
    for row, network in networks.items():
        make = partial(rendered.features, network, lidar_views)
        values[row] = figures(clean[row], cached(keep, {**facts, "row": row}, make).x, sizes)
    strategies, distances = rendered.pairs_of_strategies(networks.get("embeddings", networks["trained"]))
    given = [str(one) for one in data] if isinstance(data, list | tuple) else str(data)
    entropies = rendered.target_entropies(method)
    return Measured(values, strategies, distances, entropies, sizes, view_set, seed, given, replace(rows, networks={}))


def _check(lidar_images: int, lidar_views: int, alpha_first: int, alpha_last: int) -> None:
    """Refuse arguments that nothing can be measured with, before the work."""
    for name, value, most in (("lidar_images", lidar_images, 2**31 - 1), ("lidar_views", lidar_views, MOST_VIEWS)):
        if not 2 <= value <= most:
            raise ConfigError(f"{name} is {value}; it must be from 2 to {most}")
    if not 1 <= alpha_first < alpha_last:
        raise ConfigError(f"alpha_first is {alpha_first} and alpha_last {alpha_last}; they need 1 <= first < last")


def _view_set(path: Path, views: str | ViewSet | None, size: int | None) -> ViewSet:
    """The view set that is asked for, else the one of the pretraining, at `size`."""
    facts = Checkpoint.read(path).data(size)
    if views is None and facts["view_set"] is None:
        raise CheckpointError(f"{path}: does not say which views it was trained on; name a view set by --views")
    if views is None:
        check_class_paths(facts["view_set"], f"{path}: trained with views of")
    found = view_sets.get(facts["view_set"] if views is None else views)
    if not found.crops:
        raise ConfigError("views: the view set has local crops only; LiDAR and alignment take views of global ones")
    return found if found.own_sizes else found.with_size(facts["size"])


def figures(clean: np.ndarray, views: np.ndarray, sizes: Sizes) -> dict[str, float | None]:
    """The measures of features of images without augmentation (N, F) and of views (n, q, F), as Measured.values."""
    for what, x in (("features", clean), ("features of views", views)):
        if not np.isfinite(x).all():
            raise ConfigError(f"the {what} hold NaN or infinity; the encoder's training has probably diverged")
    x = clean[evenly(len(clean), sizes.images)]
    law = measures.alpha_req(x, sizes.first, sizes.last)
    found = {
        "rankme": measures.rankme(x),
        "lidar": measures.lidar(views),
        "alpha_req": law.alpha,
        "r2": law.r2,
        "alpha_last": float(law.last),
        "uniformity": measures.uniformity(clean[evenly(len(clean), sizes.paired)]),
        "alignment": measures.alignment_of_views(views),
        "spread": measures.spread(x),
    }
    return {name: None if math.isnan(value) else value for name, value in found.items()}


class Embedder(nn.Module):
    """The output of one layer, images (B, 3, H, W) -> (B, D), of a network that returns layers by name."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings (B, D) of images (B, 3, H, W)."""
        (z,) = self.network(x).values()
        return z


@dataclass(frozen=True)
class Rendered:
    """Views of some images, and what is measured on them.

    path: .beton files.  indices: rows (n,) of them.  mean, std: of the normalisation, ImageNet's when None.
    """

    path: Path | list[Path]
    views: ViewSet
    indices: np.ndarray
    mean: Sequence[float] | None
    std: Sequence[float] | None
    seed: int
    batch_size: int
    num_workers: int

    def facts(self, count: int) -> dict[str, Any]:
        """What `features` depend on, apart from network and data, as JSON values."""
        return {"views": self.views.to_dict(), "n": len(self.indices), "q": count, "seed": self.seed}

    def batches(self, views: ViewSet | None = None) -> Loader:
        """Batches of the images in order; each iteration has other random numbers."""
        return Loader(
            self.path,
            min(self.batch_size, len(self.indices)),
            views or self.views,
            num_workers=self.num_workers,
            seed=self.seed,
            order="sequential",
            indices=self.indices,
            mean=IMAGENET_MEAN if self.mean is None else self.mean,
            std=IMAGENET_STD if self.std is None else self.std,
            **WHOLE,
        )

    @torch.no_grad()
    def features(self, network: nn.Module, count: int, views: ViewSet | None = None) -> Features:
        """Features of `count` random global views of each image: x (n, count, F).

        The view set is rendered as often as it takes, each time with other random numbers.
        """
        loader, home = self.batches(views), device_of(network)
        x: list[np.ndarray] = []  # of a view each, (n, F)
        y = index = np.zeros(0, np.int64)
        with evaluating(network):
            while len(x) < count:
                parts, labels, rows = [], [], []
                for batch in loader:
                    out = torch.stack(
                        [network(view.to(home)).float().cpu() for view in batch.global_views]
                    )  # (V, B, F)
                    parts.append(out[:, batch.valid].numpy())
                    labels.append(batch.labels[batch.valid].numpy())
                    rows.append(batch.index[batch.valid].numpy())
                x += list(np.concatenate(parts, 1))
                y, index = np.concatenate(labels), np.concatenate(rows)
        return Features(np.stack(x[:count], 1), y, index)

    def pairs_of_strategies(self, network: nn.Module) -> tuple[list[str], np.ndarray]:
        """Names (S,) of the strategies, and how far apart (S, S) two crops of an image under each pair of them are.

        network: images -> embeddings.  The view set's own crops are replaced by two for each strategy, not shared.
        """
        two = {**self.views.to_dict(), "crops": 2, "local": 0, "shared_crops": False, "assign": "all"}
        views = ViewSet.from_dict({**two, "own_sizes": False, "size": self.views.size})
        strategies = [view.name.rpartition(".")[0] for view in views.views[::2]]
        z = self.features(network, len(views), views).x  # (n, 2 S, D), both crops of a strategy side by side
        z = z.reshape(len(z), len(strategies), 2, -1).transpose(1, 2, 0, 3)  # (S, 2, n, D)
        return strategies, measures.strategy_distances(z)

    @torch.no_grad()
    def target_entropies(self, method: Method) -> dict[str, float] | None:
        """Entropies of the targets that a method's loss makes of the views, averaged over whole batches, beside log K.

        None for methods without prototypes.
        """
        if not hasattr(method, "prototypes"):
            return None
        found: list[tuple[float, float, float]] = []
        method = method.to(device())
        with evaluating(method):
            for batch in self.batches():
                if batch.valid.all():
                    method.loss(batch.to(device()))
                    if (kept := method._entropies) is not None:
                        found.append((float(kept.each), float(kept.marginal), math.log(kept.prototypes)))
        if not found:
            return None
        keys = ("target_entropy", "marginal_entropy", "log_prototypes")
        return dict(zip(keys, np.mean(found, 0).tolist(), strict=True))
