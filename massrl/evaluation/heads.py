"""Linear heads by SGD, all at once: DINOv2's grid of learning rates and feature sets on cached features.

Oquab et al., "DINOv2", arXiv:2304.07193, and its `dinov2/eval/linear.py`: for each of 13 learning rates and each
feature set (the class tokens of the last 1 or 4 blocks, with or without the mean patch token of the last one: 52 heads)
a linear layer with bias, weights from N(0, 0.01^2) and bias 0, trained by SGD with momentum 0.9 on cross-entropy, the
rate falling from rate * B / 256 to 0 as a cosine, without weight decay, for 12,500 steps of B = 128 images.
    v <- mu v + (grad + wd w),    w <- w - rate_t v,    rate_t = rate * B/256 * (1 + cos(pi t / T)) / 2
The heads of a feature set are one tensor (H, K, F), so that a step reads its images once and is two matrix products.
Differs from the code: features are of the clean centre view, computed once, where the authors augment (random crop and
flip); by default the head is chosen on a held-out tenth of the training images and trained again on all of them, where
the authors choose it on the validation images that they report (`selection: test`); heads of a feature set have one
start, where the authors sample one for each; one process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_loading.errors import ConfigError
from massrl.evaluation.choice import Chosen, best, words
from massrl.evaluation.held_out import held_out
from massrl.evaluation.protocol import Protocol, Selection, check_pair, register

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
INITIAL_STD = 0.01
CHUNK = 4096  # images that are classified at once
Arrays = Mapping[str, np.ndarray]  # layer -> (N, F) float32
Sets = Mapping[str, Sequence[str]]  # feature set -> the layers that stand side by side in it


class Head(NamedTuple):
    """A point of the grid: the name of a feature set, the learning rate for batch 256, and the weight decay."""

    features: str
    rate: float
    weight_decay: float

    @property
    def setting(self) -> dict[str, Any]:
        return {"features": self.features, "rate": self.rate, "weight decay": self.weight_decay or None}


class Heads:
    """The heads of one feature set: weight (H, K, F) and bias (H, K), all from one start, and their SGD.

    heads: H points of the grid, of one feature set.  classes, width: K and F.  seed: of the start, weights from
    N(0, 0.01^2) by the CPU's generator whatever the device, and bias 0; so a head by itself becomes what it becomes
    among others.
    """

    def __init__(self, heads: Sequence[Head], classes: int, width: int, seed: int = 0, device: str = "cpu"):
        self.heads = list(heads)
        start = INITIAL_STD * torch.randn(classes, width, generator=torch.Generator().manual_seed(seed))
        self.weight = start.to(device).repeat(len(heads), 1, 1)
        self.bias = torch.zeros(len(heads), classes, device=device)
        self.moments = [torch.zeros_like(self.weight), torch.zeros_like(self.bias)]
        self.rate = torch.tensor([head.rate for head in heads], device=device).view(-1, 1, 1)
        self.decay = torch.tensor([head.weight_decay for head in heads], device=device).view(-1, 1, 1)

    def logits(self, x: Tensor) -> Tensor:
        """(B, H, K) of x (B, F)."""
        h, k, _ = self.weight.shape
        return torch.addmm(self.bias.flatten(), x, self.weight.flatten(0, 1).T).view(len(x), h, k)

    def step(self, x: Tensor, codes: Tensor, share: float, momentum: float) -> None:
        """One step of SGD on each head's mean cross-entropy of x (B, F) with classes codes (B,), at share * rate."""
        error = self.logits(x).softmax(2)  # (B, H, K)
        error[torch.arange(len(x), device=x.device), :, codes] -= 1
        error /= len(x)
        of_weight, of_bias = (error.flatten(1).T @ x).view_as(self.weight), error.sum(0)
        of_weight.addcmul_(self.weight, self.decay)
        of_bias.addcmul_(self.bias, self.decay[..., 0])
        for value, moment, gradient, rate in (
            (self.weight, self.moments[0], of_weight, self.rate),
            (self.bias, self.moments[1], of_bias, self.rate[..., 0]),
        ):
            value.addcmul_(moment.mul_(momentum).add_(gradient), rate, value=-share)


def batches(n: int, batch_size: int, iterations: int, seed: int) -> Iterator[np.ndarray]:
    """Rows (batch_size,) of each step: random orders of n rows, one after the other without end, cut into batches."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.empty(0, dtype=torch.int64)
    for _ in range(iterations):
        while len(rows) < batch_size:
            rows = torch.cat([rows, torch.randperm(n, generator=random)])
        yield rows[:batch_size].numpy()
        rows = rows[batch_size:]


def train(
    x: Arrays,
    codes: np.ndarray,
    sets: Sets,
    heads: Sequence[Head],
    *,
    iterations: int,
    batch_size: int,
    momentum: float = 0.9,
    seed: int = 0,
) -> list[Heads]:
    """Train all heads in one pass over the data; one `Heads` for each feature set that they name.

    x: layer -> (N, F) float32.  codes (N,): classes 0..K-1.  sets: feature set -> layers.  seed: of weights and order.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classes, groups = int(codes.max()) + 1, []
    for name in dict.fromkeys(head.features for head in heads):
        width = sum(x[layer].shape[1] for layer in sets[name])
        groups.append(Heads([head for head in heads if head.features == name], classes, width, seed, device))
    layers = sorted({layer for group in groups for layer in sets[group.heads[0].features]})
    for number, rows in enumerate(batches(len(codes), batch_size, iterations, seed)):
        share = batch_size / 256 * (1 + math.cos(math.pi * number / iterations)) / 2
        batch = {layer: _tensor(x[layer][rows], device) for layer in layers}
        target = torch.from_numpy(codes[rows]).to(device)
        for group in groups:
            features = torch.cat([batch[layer] for layer in sets[group.heads[0].features]], 1)
            group.step(features, target, share, momentum)
    return groups


def _tensor(rows: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.array(rows, np.float32)).to(device)


def accuracies(groups: Sequence[Heads], x: Arrays, y: np.ndarray, classes: np.ndarray, sets: Sets) -> dict[Head, float]:
    """Accuracy in 0..1 of every head on x with labels y (N,); classes (K,): labels by code. A diverged head has 0."""
    found: dict[Head, float] = {}
    truth = torch.from_numpy(np.searchsorted(classes, y).clip(max=len(classes) - 1))
    truth[torch.from_numpy(~np.isin(y, classes))] = -1  # a class without training images is never right
    for group in groups:
        layers, right = sets[group.heads[0].features], torch.zeros(len(group.heads), dtype=torch.int64)
        for start in range(0, len(y), CHUNK):
            device = str(group.weight.device)
            logits = group.logits(torch.cat([_tensor(x[layer][start : start + CHUNK], device) for layer in layers], 1))
            right += (logits.argmax(2).cpu() == truth[start : start + CHUNK, None]).sum(0)
        finite = group.weight.flatten(1).isfinite().all(1).cpu()
        for head, count, sound in zip(group.heads, right.tolist(), finite.tolist(), strict=True):
            found[head] = count / len(y) if sound else 0.0
    return found


@register(name="dinov2-linear")
@dataclass(frozen=True)
class LinearHeads(Protocol):
    """Linear heads by SGD, of 13 rates and each feature set, the best chosen on a held-out tenth of train.

    selection: "held-out": the head is then trained again on all training images, and the test images are classified
    once. "test": the best of all heads on the test images, as the authors' tables: optimistic.
    rates: learning rates for batch 256.  weight_decays: each with each rate.  iterations: steps of SGD.
    batch_size: images a step.  momentum: of SGD.  seed: of the held-out part, the weights and the order.
    """

    name: ClassVar[str] = "dinov2-linear"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DINOv2 eval/linear.py (arXiv:2304.07193), on features without augmentation"
    selection: Selection = "held-out"  # type: ignore[misc]  # a field, where other protocols have one for all
    rates: Sequence[float] = RATES
    weight_decays: Sequence[float] = (0.0,)
    iterations: int = 12_500
    batch_size: int = 128
    momentum: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rates", "weight_decays"):
            if not isinstance(getattr(self, name), Sequence) or isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; give several numbers, as [0, 1e-4]")
        if not self.rates or not all(0 < rate < math.inf for rate in self.rates):
            raise ConfigError(f"rates are {', '.join(map(str, self.rates)) or 'none'}; give numbers above 0")
        if not self.weight_decays or not all(0 <= decay < math.inf for decay in self.weight_decays):
            raise ConfigError(f"weight_decays are {', '.join(map(str, self.weight_decays)) or 'none'}; give 0 or more")
        if len(set(self.weight_decays)) < len(self.weight_decays):
            raise ConfigError(f"weight_decays are {', '.join(map(str, self.weight_decays))}; give each once")
        for name in ("iterations", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"momentum is {self.momentum}; it must be 0 or more and below 1")
        if self.selection not in ("held-out", "test"):
            raise ConfigError(f"selection is {self.selection!r}; {self.name} chooses on held-out or test")

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "rates": list(self.rates), "weight_decays": list(self.weight_decays)}

    def grid(self, sets: Sets) -> list[Head]:
        """Every head: for each feature set in turn each rate, and each weight decay with it."""
        return [Head(name, rate, decay) for name in sets for rate in self.rates for decay in self.weight_decays]

    def choose(self, x: Arrays, y: np.ndarray, test_x: Arrays, test_y: np.ndarray, sets: Sets | None = None) -> Chosen:
        """The chosen head and its test accuracy; of equally good heads the first of `grid`.

        x, test_x: layer -> (N, F), (M, F) float32 features.  y (N,), test_y (M,): int64 labels.  sets: feature set ->
        layers; each layer by itself when None. Raises ConfigError when they do not fit, or no class has two images.
        """
        sets = {layer: [layer] for layer in x} if sets is None else sets
        for layer in {layer for layers in sets.values() for layer in layers}:
            check_pair(x[layer], y, test_x[layer], test_y)
        if len(np.unique(y)) == 1:
            raise ConfigError(f"all {len(y)} training images are of one class; a classifier needs two or more")
        classes, grid = np.unique(y), self.grid(sets)
        if self.selection == "test":
            scores = self._scores(x, y, test_x, test_y, classes, sets, grid)
            head = self._best(scores)
            accuracy = scores[head]
        else:
            kept, held = held_out(y, seed=self.seed)
            part = [{layer: values[rows] for layer, values in x.items()} for rows in (kept, held)]
            scores = self._scores(part[0], y[kept], part[1], y[held], classes, sets, grid)
            head = self._best(scores)
            accuracy = self._scores(x, y, test_x, test_y, classes, sets, [head])[head]
        tried = {words(one.setting): score for one, score in scores.items()}
        return Chosen(accuracy, {name: v for name, v in head.setting.items() if v is not None}, tried)

    def _best(self, scores: Mapping[Head, float]) -> Head:
        heads = list(scores)
        return heads[best(np.array([scores[head] for head in heads]))]

    def _scores(
        self,
        x: Arrays,
        y: np.ndarray,
        test_x: Arrays,
        test_y: np.ndarray,
        classes: np.ndarray,
        sets: Sets,
        heads: Sequence[Head],
    ) -> dict[Head, float]:
        """Accuracy of each head on test_x, after training on x."""
        codes = np.searchsorted(classes, y)
        steps, batch_size, momentum = self.iterations, self.batch_size, self.momentum
        groups = train(
            x, codes, sets, heads, iterations=steps, batch_size=batch_size, momentum=momentum, seed=self.seed
        )
        return accuracies(groups, test_x, test_y, classes, sets)
