"""OpCase: an op with fixed numbers, the peers' functions for it, and our kernels as a function of one image."""

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
from data_loading.ops.base import OPS, PARAMS, Op
from data_loading.ops.choose import Choose
from data_loading.ops.crop import Crop, Resize
from data_loading.ops.normalize import Normalize
from data_loading.ops.step import ARGS
from data_loading.render.numba_renderer import Renderer
from data_loading.strategies import Strategy
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet

PILLOW, TORCHVISION, OPENCV = "Pillow", "torchvision v2", "OpenCV"
DTYPES = {"float32": np.float32, "uint8": np.uint8, "float16": np.int16, "bfloat16": np.int16}
Picture = Callable[[np.ndarray], np.ndarray]
Box = Callable[[int, int], tuple[float, float, float, float]]


def whole(height: int, width: int) -> tuple[float, float, float, float]:
    """The crop box of a whole image, x0, y0, x1, y1 in pixels."""
    return 0, 0, width, height


class Difference(NamedTuple):
    """How far two results differ: mean and max of the absolute difference over all values, in levels of 255.

    within_one: share of the pixels all of whose channels differ by at most one level.
    """

    mean: float
    max: int
    within_one: float


@dataclass(frozen=True)
class OpCase:
    """One op with fixed numbers for a view of side x side pixels, and the peers' functions with equal numbers.

    name: includes the numbers.  op: the op's registered name.
    made: an op whose numbers are fixed.  written: the steps themselves, where `made` is None.
    peers: library -> function of a writable uint8 (H, W, 3) that returns uint8 (side, side, 3); H = W = side except for
        crops, which take any size.
    pillow: Pillow's function of a Pillow image.
    tensor: torchvision's function of a (3, H, W) tensor, uint8 or float32 in 0..1.
    jumps: whether thresholds, levels or nearest pixels let a last bit change a value by more than one level.
    differs: peer -> how it differs by design, so that equal pixels are not expected.
    crop: the crop rule.  box: function of (height, width) that returns its box x0, y0, x1, y1; else the whole image.
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
        """The steps of the op's program, (code, numbers, ((position, word), ...)) each; none for a crop.

        Codes are those of ops.step.STEPS.
        """
        return self.written if self.made is None else steps_of(self.made, self.side)

    def ours(self, dtype: str = "uint8") -> Picture:
        """Our kernels as a function: uint8 (H, W, 3) -> (side, side, 3) of `dtype`, in levels of 0..255."""
        return StepRenderer(self.steps, self.side, dtype, crop=self.crop, box=self.box)

    def differences(self, images: Iterable[np.ndarray]) -> dict[str, Difference]:
        """Peer -> the difference between its pixels and ours over all images, writable uint8 (H, W, 3) each."""
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


class StepRenderer:
    """The steps of a program as a function of one image, uint8 (H, W, 3) -> (side, side, 3) of `dtype`.

    steps, crop, box: as in OpCase.  dtype: a key of DTYPES.  normalize: an op, or None for levels of 0..255.
    """

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
            for position, value in words[0] if words else ():
                self.word[0, 0, k, position] = value
        one = Strategy("one", [kernels_of(steps)], crop=crop or Resize())
        self.view_set = ViewSet([one], crops=1, size=side)
        self.side, self.box, self.normalize, self.dtype, self.largest = side, box, normalize, dtype, 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width, _ = image.shape
        if max(height, width) > self.largest:  # scratch memory must hold the largest image so far
            self.largest = max(height, width)
            self.renderer = Renderer(self.view_set, self.largest, self.normalize, self.dtype)
        box = np.array(self.box(height, width), np.float32).reshape(1, 1, 4)
        plan = Plan(box, self.op, self.word, np.zeros((1, 1), np.uint8))
        out = np.empty((1, 1, 3, self.side, self.side), DTYPES[self.dtype])
        pixels, sides = np.ascontiguousarray(image).reshape(-1), (np.array([height]), np.array([width]))
        self.renderer(pixels, np.zeros(1, np.int64), *sides, plan, 0, [out])
        return out[0, 0].transpose(1, 2, 0)


def kernels_of(steps: Sequence) -> list[Op]:
    """Ops that write these steps; a renderer compiles the kernels that the ops of its view set need."""
    codes, found = {step[0] for step in steps}, []
    for _, kind in OPS.items():
        if kind.__module__.startswith("data_loading.") and issubclass(kind, Op) and kind is not Choose:
            op = kind()
            found += [op] if codes & set(op.writes) else []
    return found


def steps_of(op: Op, side: int) -> tuple:
    """The steps that an op with fixed numbers writes for a view of side x side pixels."""
    params, n = np.zeros(PARAMS), op.steps
    params[: len(op.params())] = op.params()
    code, word = np.zeros(n, np.uint8), np.zeros((n, ARGS), np.uint32)
    state, arg = np.zeros(STATE, np.uint32), word.view(np.float32)
    n = program.draw(op.rule, params, state, side, own.table([op]), code, arg, word, 0)
    return tuple((int(code[k]), tuple(map(float, arg[k]))) for k in range(n))


def case(name: str, op: Op | str, side: int, pillow=None, tensor=None, opencv=None, **more) -> OpCase:
    """An OpCase whose peers are made of the three functions.

    op: an op with fixed numbers, or a name, and the steps in `written`.  pillow: function of a Pillow image.
    tensor: function of a (3, H, W) tensor.  opencv: function of a uint8 (H, W, 3).  more: further fields of OpCase.
    """
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
