"""Compare losses of massrl with lightly's: value, and time of forward and backward on equal tensors, alternating."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from data_loading.bench.timing import median, ratio
from data_loading.errors import ConfigError
from massrl import losses
from massrl.nn import FeatureQueue

PEERS = {"lightly": "lightly"}  # name of a peer -> package
IMAGES, ROUNDS, UNTIMED = 256, 21, 3
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Pair:
    """A loss of massrl and lightly's loss of the same equation.

    shapes: of the inputs, all of which need a gradient.  make: device -> (ours, theirs), functions of the inputs that
    return the loss and do what a training step does with it (assignments, queue, centre).  note: how the two were set
    to one equation.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    make: Callable[[str], tuple[Loss, Loss]]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Result of one comparison.

    ms, peer_ms: median time of a forward and backward, milliseconds.  ratio: the peer's time divided by ours, median;
    above 1 ours is faster.  low, high: 95 % interval of the ratio.  difference: |ours - peer| / |peer| of the values.
    """

    name: str
    peer: str
    shape: str
    ms: float
    peer_ms: float
    ratio: float
    low: float
    high: float
    difference: float
    note: str

    def as_json(self) -> dict:
        """All fields as JSON values."""
        return asdict(self)


def measure(peer: str = "lightly", images: int = IMAGES, rounds: int = ROUNDS) -> list[Row]:
    """Compare every pair on batches of `images`, timed `rounds` times. Raises ConfigError if the peer is missing."""
    check_installed(peer)
    return [compare(pair, peer, images, rounds) for pair in pairs(images)]


def check_installed(peer: str) -> None:
    """Raise ConfigError unless the peer's package is installed."""
    if find_spec(PEERS[peer]) is None:
        raise ConfigError(f"{peer} is not installed here; pip install {PEERS[peer]}, or omit --peers")


def compare(pair: Pair, peer: str, images: int, rounds: int) -> Row:
    """Time both losses of a pair in alternating order, and compare their values."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    g = torch.Generator().manual_seed(0)
    # Embeddings of two views of an image are similar.
    base = {shape[-2:]: torch.randn(shape[-2:], generator=g) for shape in pair.shapes}
    inputs = [(base[s[-2:]] + 0.5 * torch.randn(s, generator=g)).to(device) for s in pair.shapes]
    functions = pair.make(device)
    values = [float(function(*inputs).detach()) for function in functions]
    spent: tuple[list[float], list[float]] = ([], [])
    for r in range(UNTIMED + rounds):
        for i in (0, 1) if r % 2 else (1, 0):
            spent[i].append(_seconds(functions[i], inputs, device))
    ours, theirs = (np.array(s[UNTIMED:]) for s in spent)
    return Row(
        name=pair.name,
        peer=peer,
        shape=" ".join("x".join(map(str, s)) for s in dict.fromkeys(pair.shapes)),
        ms=1e3 * median(ours)[0],
        peer_ms=1e3 * median(theirs)[0],
        **dict(zip(("ratio", "low", "high"), ratio(theirs, ours), strict=True)),
        difference=abs(values[0] - values[1]) / abs(values[1]),
        note=pair.note,
    )


def _seconds(function: Loss, inputs: list[Tensor], device: str) -> float:
    """Seconds of one forward and backward: wall time on a GPU, CPU time of the process otherwise."""
    fresh = [x.clone().requires_grad_() for x in inputs]
    begun = _now(device)
    function(*fresh).sum().backward()
    return _now(device) - begun


def _now(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def pairs(B: int) -> list[Pair]:
    """All pairs for B images, with widths that are usual on small images, and 2 views or 2 global and 6 local ones."""
    from lightly.loss import (
        BarlowTwinsLoss,
        DINOLoss,
        NegativeCosineSimilarity,
        NTXentLoss,
        SwaVLoss,
        VICRegLoss,
    )

    def info_nce(device: str) -> tuple[Loss, Loss]:
        queue, theirs = FeatureQueue(16384, 128).to(device), NTXentLoss(0.2, (16384, 128)).to(device)
        theirs.memory_bank.bank = queue.rows()

        def ours(q: Tensor, k: Tensor) -> Tensor:
            loss = losses.info_nce(q, k.detach(), queue.rows(), 0.2)
            if q.requires_grad:
                queue.push(F.normalize(k.detach(), dim=1))
            return loss

        return ours, lambda q, k: theirs(q, k.detach())

    def dino(device: str) -> tuple[Loss, Loss]:
        K = 4096
        theirs, centre = DINOLoss(K, teacher_temp=0.07).to(device), torch.zeros(K, device=device)

        def ours(target: Tensor, *online: Tensor) -> Tensor:
            loss = losses.dino(torch.stack(online), target, centre, 0.1, 0.07)
            with torch.no_grad():
                centre.lerp_(target.detach().mean((0, 1)), 0.1)
            return loss

        return ours, lambda target, *online: theirs([*target.detach()], [*online])

    def swav(device: str) -> tuple[Loss, Loss]:
        def ours(*scores: Tensor) -> Tensor:
            scores = torch.stack([x.tanh() for x in scores])
            return losses.swav(scores, torch.stack([losses.sinkhorn(s) for s in scores[:2].detach()]))

        theirs = SwaVLoss()
        return ours, lambda *scores: theirs(*(lambda s: (s[:2], s[2:]))([x.tanh() for x in scores]))

    vicreg, barlow, nt_xent, cosine = (
        VICRegLoss(mu_param=50.0),
        BarlowTwinsLoss(),
        NTXentLoss(0.5),
        (NegativeCosineSimilarity()),
    )
    two = ((B, 128), (B, 128))
    wide = ((B, 2048), (B, 2048))
    return [
        Pair("nt_xent", two, lambda _: (lambda a, b: losses.nt_xent(torch.stack([a, b]), 0.5), nt_xent)),
        Pair("info_nce", two, info_nce, "queue of 16384, updated in each step"),
        Pair("negative_cosine", wide, lambda _: (losses.negative_cosine, cosine)),
        Pair(
            "cosine_distance",
            ((B, 256), (B, 256)),
            lambda _: (losses.cosine_distance, lambda p, z: 2 + 2 * cosine(p, z)),
            "2 + 2 NegativeCosineSimilarity",
        ),
        Pair("barlow_twins", wide, lambda _: (losses.barlow_twins, barlow)),
        Pair("vicreg", wide, lambda _: (losses.vicreg, vicreg), "mu_param 50: lightly halves the sum of the variances"),
        Pair("dino", ((2, B, 4096), *[(B, 4096)] * 8), dino, "centre updated in each step"),
        Pair("swav", ((B, 3000),) * 8, swav, "assignments included; tanh keeps the scores in -1..1 on both sides"),
    ]
