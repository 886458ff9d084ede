"""What a case is, how peers are called, and how our own kernels run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from data_loading.kernel.rng import STATE
from data_loading.ops import own, program
from data_loading.ops.base import ARGS, OPS, PARAMS, Op
from data_loading.ops.choose import Choose
from data_loading.ops.crop import Crop, Resize
from data_loading.ops.normalize import Normalize
from data_loading.render.numba_renderer import Renderer
from data_loading.strategies import Strategy
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet

PILLOW, TORCHVISION, OPENCV = "Pillow", "torchvision v2", "OpenCV"
DTYPES = {"float32": np.float32, "uint8": np.uint8, "float16": np.int16, "bfloat16": np.int16}
Picture = Callable[[np.ndarray], np.ndarray]
Box = Callable[[int, int], tuple[float, float, float, float]]


def whole(height: int, width: int) -> tuple[float, float, float, float]:
    """The box of the whole image."""
    return 0, 0, width, height


class Difference(NamedTuple):
    """In levels of 255 over all values, and the share of pixels whose three channels are within one level."""

    mean: float
    max: int
    within_one: float


@dataclass(frozen=True)
class OpCase:
    """One op with given numbers, for a view of side x side, and peers that are given the same.

    name: with its numbers.  op: its registered name.
    made: an op whose numbers are fixed; or written: the steps themselves.
    peers: library -> uint8 (H, W, 3), writable -> uint8 (side, side, 3); H = W = side but for crops, which take any.
    pillow: Pillow's function of its own images.
    tensor: torchvision's function of (3, H, W) tensors: uint8, or float32 in 0..1.
    jumps: there are thresholds, levels or nearest pixels, where a last bit may move a value by more than a level.
    differs: what a peer does otherwise by design, so that no equality is expected of it.
    crop, box: the rule, and its x0, y0, x1, y1 in an image of (height, width); else the whole image.
    """

    name: str
    op: str
    side: int
    made: Op | None = None
    written: tuple = ()
    peers: dict[str, Picture] = field(default_factory=dict)
    pillow: Callable[[Image.Image], Image.Image] | None = None
    tensor: Callable[[torch.Tensor], torch.Tensor] | None = None
    jumps: bool = False
    differs: dict[str, str] = field(default_factory=dict)
    crop: Crop = field(default_factory=Resize)
    box: Box = whole

    @cached_property
    def steps(self) -> tuple:
        """(code, numbers, ((place, word), ...)) each, as programs hold them (ops.base.STEPS); none for a crop."""
        return self.written if self.made is None else steps_of(self.made, self.side)

    def ours(self, dtype: str = "uint8") -> Picture:
        """Our kernels: uint8 (H, W, 3) -> (side, side, 3) of `dtype`, in levels of 0..255."""
        return Drawn(self.steps, self.side, dtype, crop=self.crop, box=self.box)

    def differences(self, images: Iterable[np.ndarray]) -> dict[str, Difference]:
        """How far each peer is from our uint8 over all images (H, W, 3), uint8 and writable."""
        ours, images = self.ours(), list(images)
        made = [ours(image).astype(int) for image in images]
        out = {}
        for name, peer in self.peers.items():
            apart = [np.abs(mine - peer(image)) for mine, image in zip(made, images, strict=True)]
            within = np.mean([(a.max(axis=2) <= 1).mean() for a in apart])
            out[name] = Difference(
                float(np.mean([a.mean() for a in apart])), int(max(a.max() for a in apart)), float(within)
            )
        return out


class Drawn:
    """Steps of a program as a function of one image; see OpCase.  normalize: an op, or None."""

    def __init__(
        self,
        steps: Sequence,
        side: int,
        dtype: str,
        normalize: Normalize | None = None,
        crop: Crop | None = None,
        box: Box = whole,
    ):
        n = max(len(steps), 1)
        self.op, self.word = np.zeros((1, 1, n), np.uint8), np.zeros((1, 1, n, ARGS), np.uint32)
        for k, (code, numbers, *words) in enumerate(steps):
            self.op[0, 0, k] = code
            self.word.view(np.float32)[0, 0, k, : len(numbers)] = numbers
            for place, value in words[0] if words else ():
                self.word[0, 0, k, place] = value
        one = Strategy("one", [kernels_of(steps)], crop=crop or Resize())
        self.view_set = ViewSet([one], crops=1, size=side)
        self.side, self.box, self.normalize, self.dtype, self.largest = side, box, normalize, dtype, 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        if max(height, width) > self.largest:  # scratch memory is made for the largest image so far
            self.largest = max(height, width)
            self.renderer = Renderer(self.view_set, self.largest, self.normalize, self.dtype)
        box = np.array(self.box(height, width), np.float32).reshape(1, 1, 4)
        plan = Plan(box, self.op, self.word, np.zeros((1, 1), np.uint8))
        out = np.empty((1, 1, 3, self.side, self.side), DTYPES[self.dtype])
        pixels, sides = np.ascontiguousarray(image).reshape(-1), (np.array([height]), np.array([width]))
        self.renderer(pixels, np.zeros(1, np.int64), *sides, plan, 0, [out])
        return out[0, 0].transpose(1, 2, 0)


def kernels_of(steps: Sequence) -> list[Op]:
    """Ops that write these steps: a renderer has the kernels of whole images that its view set's ops need."""
    codes, found = {step[0] for step in steps}, []
    for _, kind in OPS.items():
        if kind.__module__.startswith("data_loading.") and issubclass(kind, Op) and kind is not Choose:
            op = kind()
            found += [op] if codes & set(op.writes) else []
    return found


def steps_of(op: Op, side: int) -> tuple:
    """The steps that an op whose numbers are fixed writes for a view of side x side."""
    params, n = np.zeros(PARAMS), op.steps
    params[: len(op.params())] = op.params()
    code, word = np.zeros(n, np.uint8), np.zeros((n, ARGS), np.uint32)
    state, arg = np.zeros(STATE, np.uint32), word.view(np.float32)
    n = program.draw(op.rule, params, state, side, own.table([op]), code, arg, word, 0)
    return tuple((int(code[k]), tuple(map(float, arg[k]))) for k in range(n))


def case(name: str, op: Op | str, side: int, pillow=None, tensor=None, opencv=None, **more) -> OpCase:
    """op: one whose numbers are fixed, or a name, and `written`.  pillow: a function of Pillow's images."""
    peers = {}
    if pillow:
        peers[PILLOW] = lambda image: np.asarray(pillow(Image.fromarray(image)))
    if tensor:
        peers[TORCHVISION] = lambda image: tensor(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    if opencv:
        peers[OPENCV] = opencv
    if isinstance(op, Op):
        more |= {"made": op, "op": type(op).__name__}
    return OpCase(name=name, side=side, peers=peers, pillow=pillow, tensor=tensor, **{"op": op, **more})
