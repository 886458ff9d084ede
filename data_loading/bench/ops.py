"""Ops: what an op costs inside one of our views, what it costs alone in other libraries, and how far pixels differ.

Our time is that of views with the op, less that of views without it: random resized crops of decoded photographs,
rendered to normalised float32, both kinds in alternating rounds. The time of a crop is that of a view with the crop,
less that of a view of pixels that are already cropped. A peer gets finished uint8 pixels in its own form, one image per
call, and returns uint8. All get the same fixed numbers, so that no sampling of random numbers is timed. Every library
runs in one thread, whose processor time counts. Differences are between uint8 results on equal uint8 pixels, in levels
of 255.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image

from data_loading.bench.op_cases import OPENCV, PILLOW, TORCHVISION, Difference, OpCase, cases
from data_loading.bench.peers import OURS
from data_loading.bench.peers.base import one_thread
from data_loading.bench.works import listed
from data_loading.errors import ConfigError
from data_loading.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, Normalize
from data_loading.render.numba_renderer import Renderer
from data_loading.strategies import Strategy
from data_loading.views.plan import Plan
from data_loading.views.sampling import Drawer
from data_loading.views.view_set import ViewSet

PEERS = (PILLOW, OPENCV, TORCHVISION)
SIMCLR = ("RandomResizedCrop", "HorizontalFlip", "ColorJitter", "Grayscale", "GaussianBlur", "Solarize")
ALL, MOST = "all", 4096
# Op -> its cases that are measured if the op is not asked for by name; an op that is not listed here has one case.
USUAL = {
    "Brightness": ("brightness 1.9",),
    "Contrast": ("contrast 1.9",),
    "Saturation": ("saturation 1.9",),
    "Sharpness": ("sharpness 1.9",),
    "Hue": ("hue 0.2",),
    "Gamma": ("gamma 0.6, gain 1.0",),
    "GaussianBlur": ("blur 0.5", "blur 1.0", "blur 2.0"),
    "Solarize": ("solarize 128",),
    "Posterize": ("posterize 4",),
    "Thickness": ("thickness 0.5",),
    "Rotate": ("rotate 9", "rotate -17, bilinear"),
    "Shear": ("shear x 0.3",),
    "Translate": ("translate x 0.45",),
    "CenterCrop": ("centre crop 0.875",),
}


def chosen(names: str | None, side: int) -> list[OpCase]:
    """The cases of a comma-separated list of ops, or of "all"; without a list the usual numbers of every op.

    side: of the views, pixels.  Raises ConfigError for a side out of range, UnknownName for an unknown op.
    """
    if not 1 <= side <= MOST:
        raise ConfigError(f"size is {side}; ops are timed on views of 1 to {MOST} pixels")
    every = cases(side)
    if names is None:
        return [case for case in every if case.name in USUAL.get(case.op, (case.name,))]
    ops = listed("op", names, [*dict.fromkeys(case.op for case in every), ALL])
    return [case for case in every if case.op in ops or ALL in ops]


@dataclass
class Row:
    """The measurements of one library at one case.

    us: float64 (rounds,), microseconds per image.  view_us: of the whole view with the op, for our rows only.
    difference: between our pixels and the peer's, for peers only.
    """

    case: OpCase
    peer: str
    us: np.ndarray
    view_us: np.ndarray | None = None
    difference: Difference | None = None

    @property
    def us_per_image(self) -> float:
        """Median over the rounds."""
        return float(np.median(self.us))


class Views:
    """Our renderer for one view of each of N images, called once for all images, in one thread.

    images: uint8 (H, W, 3) each.  boxes: (N, 4), x0, y0, x1, y1 in pixels.  view_set: of one view.
    dtype: "float32" (normalised) or "uint8".
    """

    def __init__(self, images: Sequence[np.ndarray], boxes: np.ndarray, view_set: ViewSet, dtype: str = "float32"):
        self.memory = np.concatenate([image.reshape(-1) for image in images])
        # As in the loader; for writable arrays the kernels would be compiled again.
        self.memory.flags.writeable = False
        self.height, self.width = (np.array([image.shape[axis] for image in images]) for axis in (0, 1))
        self.start = np.cumsum(3 * self.height * self.width) - 3 * self.height * self.width
        self.boxes, n, side = np.asarray(boxes, np.float32)[None], len(images), view_set.size
        normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD) if dtype == "float32" else None
        self.renderer = Renderer(view_set, int(max(self.height.max(), self.width.max())), normalize)
        self.out = np.zeros((1, n, 3, side, side), dtype)

    def plan(self, case: OpCase | None = None) -> Plan:
        """The plan that does the steps of a case to every image; None: no steps."""
        ours = (case or OpCase("none", "none", self.out.shape[-1])).ours()
        n = len(self.start)
        op, word = (np.repeat(array, n, axis=1) for array in (ours.op, ours.word))
        return Plan(self.boxes, op, word, np.zeros((1, n), np.uint8))

    def render(self, plan: Plan) -> np.ndarray:
        """The views, (N, 3, S, S), in memory that the next call overwrites."""
        self.renderer(self.memory, self.start, self.height, self.width, plan, 0, [self.out])
        return self.out[0]


def is_crop(case: OpCase) -> bool:
    """Whether the op of a case is a crop, which has no steps."""
    return not case.steps


class Material:
    """The pixels that ops are measured on: decoded images, and a random resized crop of each.

    images: uint8 (H, W, 3) each.  side: of the crops and views, pixels.  seed: of the crop boxes.
    """

    def __init__(self, images: Sequence[np.ndarray], side: int, seed: int = 0):
        self.images, self.side, n = [np.ascontiguousarray(image) for image in images], side, len(images)
        view_set = ViewSet([Strategy("plain", [[]])], crops=1, size=side)
        sides = (np.array([image.shape[axis] for image in images]) for axis in (0, 1))
        self.boxes = Drawer(view_set, seed)(0, np.arange(n), *sides).box[0]
        whole = Views(self.images, self.boxes, view_set, "uint8")
        made = whole.render(whole.plan())
        self.crops = [np.ascontiguousarray(crop.transpose(1, 2, 0)) for crop in made]  # (S, S, 3) each
        self.ready = Views(self.crops, [(0, 0, side, side)] * n, view_set)

    def given(self, case: OpCase) -> list[np.ndarray]:
        """The pixels that get the op, uint8 (H, W, 3) each: whole images for a crop, but cropped ones for PadCrop."""
        return self.images if is_crop(case) and case.op != "PadCrop" else self.crops

    def ours(self, case: OpCase) -> tuple[Callable[[], object], Callable[[], object]]:
        """(with_op, without): functions that render all views with the op and without it."""
        images, boxes = self.images, self.boxes
        if is_crop(case):
            images = self.given(case)
            boxes = [case.box(*image.shape[:2]) for image in images]
        views = Views(images, boxes, case.ours().view_set)
        base = self.ready if is_crop(case) else views
        with_op, without = views.plan(case), base.plan()
        return lambda: views.render(with_op), lambda: base.render(without)

    def peer(self, case: OpCase, peer: str) -> Callable[[], object] | None:
        """A function that does the op to all images with a peer's library; None if the library lacks the op."""
        call = {PILLOW: case.pillow, OPENCV: case.peers.get(OPENCV), TORCHVISION: case.tensor}[peer]
        if call is None:
            return None
        images: list = self.given(case)
        if peer == PILLOW:
            images = [Image.fromarray(image) for image in images]
        elif peer == TORCHVISION:
            images = [torch.from_numpy(image).permute(2, 0, 1) for image in images]  # its resize wants channels last,
            images = images if is_crop(case) else [image.contiguous() for image in images]  # its other ops do not

        def run() -> None:
            for image in images:
                call(image)

        return run


def measure(case: OpCase, material: Material, rounds: int, say: Callable[[str], None] = print) -> list[Row]:
    """Time a case in alternating rounds: our row first, then one for each peer that has the op.

    A peer that fails is left out and `say` gets the reason.
    """
    functions = dict(zip(("with", "without"), material.ours(case), strict=True))
    differences = {}
    for peer in PEERS:
        try:
            run = material.peer(case, peer)
            if run is not None:
                alone = replace(case, peers={peer: case.peers[peer]})
                differences[peer] = alone.differences(material.given(case))[peer]
                functions[peer] = run
        except Exception as error:  # as for an image that is too small for the library
            say(f"{case.name}: {peer} is left out: {type(error).__name__}: {error}")
    spent: dict[str, list[float]] = {name: [] for name in functions}
    with threads_off():
        for function in functions.values():  # once untimed: kernels are compiled and libraries build their tables
            function()
        for r in range(rounds):
            for name in list(functions)[:: -1 if r % 2 else 1]:
                before = time.thread_time()
                functions[name]()
                spent[name].append(1e6 * (time.thread_time() - before) / len(material.images))
    us = {name: np.array(times) for name, times in spent.items()}
    rows = [Row(case, OURS, us["with"] - us["without"], us["with"])]
    return rows + [Row(case, peer, us[peer], None, differences[peer]) for peer in differences]


@contextmanager
def threads_off() -> Iterator[None]:
    """Within it, every library runs in one thread; the numbers of threads are restored afterwards."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    one_thread()
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
