"""Our losses beside lightly's: value and time of forward and backward, on the same tensors, by turns."""

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

PEERS = {"lightly": "lightly"}  # name -> package
IMAGES, ROUNDS, UNTIMED = 256, 21, 3
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Pair:
    """A loss of ours and lightly's of the same equation.

    shapes: of the inputs that learn.  make: device -> (ours, theirs), functions of these inputs, each with all that a
    step does beside it (assignments, queue, centre).  note: how lightly's arguments were set to the same equation.
    """

    name: str
    shapes: tuple[tuple[int, ...], ...]
    make: Callable[[str], tuple[Loss, Loss]]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """ms: median of a round.  ratio: lightly's time over ours, its median and 95 % interval; above 1 ours is faster.
    difference: of the values, relative to lightly's."""

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
        return asdict(self)


def measure(peer: str = "lightly", images: int = IMAGES, rounds: int = ROUNDS) -> list[Row]:
    check_installed(peer)
    return [compare(pair, peer, images, rounds) for pair in pairs(images)]


def check_installed(peer: str) -> None:
    if find_spec(PEERS[peer]) is None:
        raise ConfigError(f"{peer} is not installed here; pip install {PEERS[peer]}, or leave --peers out")


def compare(pair: Pair, peer: str, images: int, rounds: int) -> Row:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    g = torch.Generator().manual_seed(0)
    # Two views of an image lie near each other.
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
    """Of one forward and backward; of the process's processors where there is no GPU."""
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
    """Widths are those that the methods are trained with on small images; 2 views, or 2 global and 6 local ones."""
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
        Pair("info_nce", two, info_nce, "a queue of 16384, pushed in each step"),
        Pair("negative_cosine", wide, lambda _: (losses.negative_cosine, cosine)),
        Pair(
            "cosine_distance",
            ((B, 256), (B, 256)),
            lambda _: (losses.cosine_distance, lambda p, z: 2 + 2 * cosine(p, z)),
            "2 + 2 NegativeCosineSimilarity",
        ),
        Pair("barlow_twins", wide, lambda _: (losses.barlow_twins, barlow)),
        Pair("vicreg", wide, lambda _: (losses.vicreg, vicreg), "mu_param 50: lightly halves the sum of the variances"),
        Pair("dino", ((2, B, 4096), *[(B, 4096)] * 8), dino, "centre moved in each step"),
        Pair("swav", ((B, 3000),) * 8, swav, "assignments included; scores made cosines by tanh on both sides"),
    ]
