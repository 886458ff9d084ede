"""Time of probes that choose settings in one pass, beside the same one by one, and beside scikit-learn.

The features are generated: class centres and noise whose spread falls as 1/j over the directions, turned at random, as
the features of encoders have a few strong directions and many weak ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import softmax

from massrl.evaluation.heads import RATES, Head, Heads, batches, train
from massrl.evaluation.knn import KNN
from massrl.evaluation.logistic import Fit, path
from massrl.evaluation.logreg import STRENGTHS

CLASSES, QUERIES = 10, 1000
SIZES = ((5000, 512), (20_000, 384))
TOL = 1e-7  # of scikit-learn, whose L-BFGS runs in W: probabilities then are about as precise as those of the path


@dataclass(frozen=True)
class Row:
    """CPU seconds of ours and of the other, and the largest difference of their results."""

    what: str
    size: str
    ours: float
    other: str
    others: float
    difference: float
    of: str

    @property
    def times(self) -> float:
        return self.others / self.ours


def generated(n: int, width: int, classes: int = CLASSES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, width) float32, never negative, and labels (n,)."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % classes
    spread = 1 / np.sqrt(1 + np.arange(width))
    x = (0.7 * draw.normal(size=(classes, width))[y] + draw.normal(size=(n, width))) * spread
    turn = np.linalg.qr(draw.normal(size=(width, width)))[0]
    return np.maximum(x @ turn + 0.1, 0).astype(np.float32), y


def measure(
    sizes: Sequence[tuple[int, int]] = SIZES,
    queries: int = QUERIES,
    strengths: Sequence[float] = STRENGTHS,
    rates: Sequence[float] = RATES,
    iterations: int = 1000,
) -> list[Row]:
    """All rows for features of each size (n, width).  queries: images that kNN classifies, beside the n of its bank."""
    rows = []
    for n, width in sizes:
        x, y = generated(n + queries, width)
        rows += [neighbours(x, y, n, distance) for distance in ("cosine", "euclidean")]
        rows += [strengths_of(x[:n], y[:n], strengths), heads_of(n, width, rates, iterations)]
    return rows


def neighbours(x: np.ndarray, y: np.ndarray, n: int, distance: str) -> Row:
    """kNN beside scikit-learn's brute search with the same weights."""
    from sklearn.neighbors import KNeighborsClassifier

    protocol = KNN(distance=distance)

    def weights(d: np.ndarray) -> np.ndarray:
        return np.exp((1 - d) / protocol.tau) if distance == "cosine" else 1 / (d + 1e-5)

    judge = KNeighborsClassifier(protocol.k, metric=distance, algorithm="brute", weights=weights)
    ours, found = _timed(lambda: protocol.predict(x[:n], y[:n], x[n:]))
    others, expected = _timed(lambda: judge.fit(x[:n], y[:n]).predict(x[n:]))
    what = f"kNN, {distance}, k {protocol.k}, {len(x) - n} queries"
    return Row(what, _size(x[:n]), ours, "scikit-learn, brute", others, float(np.mean(found != expected)), "classes")


def strengths_of(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> Row:
    """The sweep over C beside scikit-learn's fits one by one, in float64 and to about the same precision."""
    from sklearn.linear_model import LogisticRegression

    x64 = x.astype(np.float64)
    ours, together = _timed(lambda: list(path(x, y, strengths)))
    judges = [LogisticRegression(C=C, tol=TOL, max_iter=100_000) for C in strengths]
    others, alone = _timed(lambda: [judge.fit(x64, y) for judge in judges])

    def difference(one: Fit, judge: LogisticRegression) -> float:
        return float(np.abs(softmax(one.logits(x), axis=1) - judge.predict_proba(x64)).max())

    largest = max(difference(one, judge) for one, judge in zip(together, alone, strict=True))
    what = f"logistic regression at {len(strengths)} C"
    return Row(what, _size(x), ours, "scikit-learn, one by one", others, largest, "probabilities")


def heads_of(n: int, width: int, rates: Sequence[float], iterations: int, batch_size: int = 128) -> Row:
    """DINOv2's heads at once beside torch's layer and SGD, one head after the other."""
    layers = {name: generated(n, w, seed=i)[0] for i, (name, w) in enumerate(_widths(width).items())}
    y = np.arange(n) % CLASSES
    sets = {"1 cls": ["last1"], "1 cls + avg": ["last1", "avg"], "4 cls": ["last4"], "4 cls + avg": ["last4", "avg"]}
    grid = [Head(name, rate, 0.0) for name in sets for rate in rates]
    ours, groups = _timed(lambda: train(layers, y, sets, grid, iterations=iterations, batch_size=batch_size))
    together = [weight for group in groups for weight in group.weight]

    _alone(layers, y, sets["1 cls"], grid[0], 1, batch_size)  # torch imports its optimisers at their first step

    def one_by_one() -> list[torch.Tensor]:
        return [_alone(layers, y, sets[head.features], head, iterations, batch_size) for head in grid]

    others, alone = _timed(one_by_one)
    difference = max(float((a.cpu() - b).abs().max()) for a, b in zip(together, alone, strict=True))
    what = f"{len(grid)} heads, {iterations} steps of {batch_size}"
    return Row(what, f"{n} x {width}", ours, "heads one by one", others, difference, "weights")


def _widths(width: int) -> dict[str, int]:
    return {"last1": width, "avg": width, "last4": 4 * width}


def _alone(layers: dict, y: np.ndarray, names: list[str], head: Head, iterations: int, batch_size: int) -> torch.Tensor:
    """Weights (K, F) of one head by torch.nn.Linear and torch.optim.SGD."""
    width = sum(layers[name].shape[1] for name in names)
    layer = torch.nn.Linear(width, CLASSES)
    start = Heads([head], CLASSES, width)
    layer.load_state_dict({"weight": start.weight[0], "bias": start.bias[0]})
    optimiser = torch.optim.SGD(layer.parameters(), head.rate * batch_size / 256, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda t: (1 + math.cos(math.pi * t / iterations)) / 2)
    for rows in batches(len(y), batch_size, iterations, 0):
        x = torch.from_numpy(np.concatenate([layers[name][rows] for name in names], 1))
        optimiser.zero_grad()
        F.cross_entropy(layer(x), torch.from_numpy(y[rows])).backward()
        optimiser.step()
        schedule.step()
    return layer.weight.data


def _timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()  # of all threads of this process: other work on the machine does not count
    found = run()
    return time.process_time() - start, found


def _size(x: np.ndarray) -> str:
    return f"{x.shape[0]} x {x.shape[1]}"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    head = ["probe", "features", "CPU s", "beside", "CPU s", "times faster", "largest difference"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for r in rows:
        difference = f"{r.difference:.1g} ({r.of})" if r.difference else f"none ({r.of})"
        cells = [r.what, r.size, f"{r.ours:.1f}", r.other, f"{r.others:.1f}", f"{r.times:.1f}", difference]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
