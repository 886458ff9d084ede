"""Render: one decoded image and its plan -> all its views, written straight into the batch's memory; see passes.py."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import NO, ZERO, jit
from data_loading.ops import direct_copy, resize, whole_image
from data_loading.ops.flip import FLIP
from data_loading.ops.normalize import Normalize
from data_loading.ops.rows import FINE, put_row
from data_loading.render import reference
from data_loading.render.passes import Source, resize_row, view
from data_loading.render.scratch import scratch
from data_loading.views.plan import Plan
from data_loading.views.view_set import ViewSet

F32 = np.float32
KINDS = {"float32": 0, "uint8": 1, "float16": 2, "bfloat16": 3}


class Images(NamedTuple):
    """Decoded images, uint8 RGB: image i's pixels (height[i], width[i], 3) start at memory[start[i]]."""

    memory: np.ndarray  # (bytes,) uint8
    start: np.ndarray  # (n,) int64 each
    height: np.ndarray
    width: np.ndarray


class Programs(NamedTuple):
    """The arrays of a Plan: V views of B samples, K steps."""

    box: np.ndarray  # (V, B, 4) float32
    op: np.ndarray  # (V, B, K) uint8
    arg: np.ndarray  # (V, B, K, ARGS) float32
    word: np.ndarray  # (V, B, K, ARGS) uint32, the memory of arg


class Group(NamedTuple):
    """The views of one side, which share a block of memory; arrays by position in the block."""

    members: np.ndarray  # (G,) int64: the numbers of the views in the view set
    order: np.ndarray  # (G,) int64: positions, those of views of one crop one after another
    crops: np.ndarray  # (G,) int64: the number of its crop
    edges: np.ndarray  # (G,) int64: CROP, IMAGE or PAD
    shared: np.ndarray  # (G,) bool: whether another view of the group has that crop, too
    side: int  # in pixels
    cubic: bool


class Output(NamedTuple):
    """A group's block of a batch: (G, B, 3, S, S), flat, in the array of its dtype; the other two are dummies."""

    batch: int  # B
    kind: int  # of KINDS
    scale: np.ndarray  # (3,) float32: x scale + bias is stored
    bias: np.ndarray
    floats: np.ndarray  # float32
    bytes: np.ndarray  # uint8
    halves: np.ndarray  # int16: the bits of float16 or bfloat16


class Renderer:
    """One thread's scratch memory and the tables of a view set; not to be shared between threads.

    largest: the longest side of any image, in pixels.  normalize: None keeps 0..255.
    dtype: of the batch, "float32", "uint8", "float16" or "bfloat16"; None: float32 if normalised, else uint8.
    With MASSRL_REFERENCE=1 in the environment the NumPy references render the views, hundreds of times slower.
    """

    def __init__(self, view_set: ViewSet, largest: int, normalize: Normalize | None, dtype: str | None = None):
        self.dtype = dtype or ("float32" if normalize else "uint8")
        self.kind = KINDS[self.dtype]
        self.view_set = view_set
        self.by_reference = os.environ.get("MASSRL_REFERENCE", "0") not in ("", "0")
        self.scale, self.bias = normalize.scale_bias() if normalize else (np.ones(3, F32), np.zeros(3, F32))
        self.groups, addresses = [], whole_image.table(view_set.all_ops())
        for side, members in view_set.groups():
            crops = np.array([view_set.views[v].crop for v in members], np.int64)
            order = np.argsort(crops, kind="stable")  # views of one crop are adjacent, so it is resized once
            edges = np.array([EDGES[view_set.crop_rule(c).edge] for c in crops])
            shared = np.array([(crops == c).sum() > 1 for c in crops])
            cubic = view_set.interpolation == "bicubic"
            group = Group(np.asarray(members, np.int64), order, crops, edges, shared, side, cubic)
            self.groups.append((group, scratch(side, largest, addresses)))

    def __call__(self, memory, start, height, width, plan: Plan, first: int, outs: list[np.ndarray]) -> None:
        """Render samples first, first + 1, ... of a plan.

        memory uint8 (bytes,): sample i's pixels (H, W, 3) start at start[i] (int64), its sides are height[i], width[i].
        outs: for each group of the view set (V, B, 3, S, S): float32, uint8, or the bits of 16-bit floats as int16.
        ViewError for a plan of other images or of another view set.
        """
        if self.by_reference:
            facts = (memory, start, height, width, plan, first, outs)
            reference.render(self.view_set, *facts, self.scale, self.bias, self.dtype)
            return
        images = Images(memory, start, height, width)
        programs = Programs(plan.box, plan.op, plan.numbers, plan.arg)
        try:
            for (group, s), out in zip(self.groups, outs, strict=True):
                flat = out.reshape(-1)
                kinds = [flat if self.kind == 0 else s.edge, flat if self.kind == 1 else s.edge8]
                kinds.append(flat if self.kind >= 2 else s.edge16)
                render(
                    images, programs, first, group, Output(out.shape[1], self.kind, self.scale, self.bias, *kinds), s
                )
        except ValueError as error:
            raise ViewError(f"the plan does not fit: {error}") from error


CROP, IMAGE, PAD = 0, 1, 2
FAR = F32(1e8)  # pixels; the limit of a padded crop's position, so that positions fit 32 bits
EDGES = {"crop": CROP, "image": IMAGE, "pad": PAD}


@jit(borrow=True)
def render(images, programs, first, group, out, s):
    """Render a group's views of all `images`; image i is sample first + i of the programs.

    images: Images.  programs: Programs.  group: Group.  out: Output.  s: Scratch of the group's side.
    ValueError for a box outside its image, or a step whose op is not in the view set.
    """
    side = group.side
    for i in range(images.start.size):
        b = first + i
        crop = -1
        for k in range(group.order.size):
            g = group.order[k]
            v, shared = group.members[g], group.shared[g]
            box, op = programs.box[v, b], programs.op[v, b]
            flipped = op[0] == FLIP  # a flip as first step is free: rows are read backwards
            place = (g * out.batch + b) * 3 * side * side
            if not fits(box, images.height[i], images.width[i], group.edges[g], side, s.resize.line.size // 3):
                raise ValueError("a box lies outside its image")
            if out.kind <= 1 and direct_copy.is_copy(box, side, op, 1 if flipped else 0):
                copy(images, i, box, flipped, side, out, place)
                continue
            if not shared or group.crops[g] != crop:
                crop = group.crops[g]
                reverse = flipped and not shared
                taps = find_taps(
                    box, images.height[i], images.width[i], group.edges[g], group.cubic, reverse, side, s.resize
                )
                if shared:
                    resize_whole(images.memory, images.start[i], images.width[i], taps, side, group.cubic, s)
            source = Source(images.memory, images.start[i], images.width[i], taps, shared, flipped)
            view(source, op, programs.arg[v, b], programs.word[v, b], side, group.cubic, out, place, s)


@jit(inline=True)
def fits(box, height, width, edge, side, largest):
    """Whether a box can be rendered without reading or writing outside memory; False for NaN.

    edge CROP: the box is inside the image.  Else: its sides are at most those that the scratch memory was made for.
    """
    if edge == CROP:
        return (
            box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height and box[0] < box[2] and box[1] < box[3]
        )
    w, h, most = box[2] - box[0], box[3] - box[1], max(largest, side) + 1
    near = max(max(abs(box[0]), abs(box[1])), max(abs(box[2]), abs(box[3]))) < FAR
    return near and w > 0 and h > 0 and w <= most and h <= most


@jit(inline=True)
def copy(images, i, box, flipped, side, out, place):
    """Write the box of image i into the batch: a view that is not resized and has no step but a flip.

    place: index of the view's first value in the flat array of the batch.
    """
    memory, start, height, width = images.memory, images.start[i], images.height[i], images.width[i]
    x0, y0 = int(box[0]), int(box[1])
    if out.kind == 0:
        direct_copy.kernel(memory, start, height, width, x0, y0, flipped, side, out.scale, out.bias, out.floats, place)
    else:
        direct_copy.kernel(memory, start, height, width, x0, y0, flipped, side, out.scale, out.bias, out.bytes, place)


@jit
def find_taps(box, height, width, edge, cubic, flip, side, s):
    """Write the taps of both axes into s (Resizing) -> (pairs of taps across, taps down, first column, columns).

    The columns are those of the source that are read.
    """
    x0, x1, y0, y1 = 0, width, 0, height
    if edge == CROP:
        x0, y0 = int(box[0]), int(box[1])
        x1, y1 = min(int(math.ceil(box[2])), width), min(int(math.ceil(box[3])), height)
    pad = edge == PAD
    across = resize.taps(float(box[0]), float(box[2]), x0, x1, side, cubic, pad, flip, s.columns, s.weight)
    resize.integers(s.weight, across, resize.ONE, s.whole)
    pairs = resize.pair(s.whole, across, s.columns.size, s.column_weight)
    down = resize.taps(float(box[1]), float(box[3]), y0, y1, side, cubic, pad, NO, s.rows, s.weight)
    resize.integers(s.weight, down, resize.ONE if cubic else 2 * resize.ONE, s.row_weight)
    left = right = s.columns[0]
    for x in range(side):  # the outermost taps need not be those of the first or last pixel
        left, right = min(left, s.columns[x]), max(right, s.columns[x])
    right += across
    for x in range(s.columns.size):
        s.columns[x] = 3 * (s.columns[x] - left) if x < side else 0  # positions in the row of interleaved RGB
    return pairs, down, left, right - left


@jit(inline=True)
def resize_whole(memory, start, width, taps, side, cubic, s):
    """Write a resized crop that several views share into Scratch.planes."""
    for y in range(side):
        resize_row(memory, start, width, taps, y, side, cubic, s.resize, s.tile, ZERO)
        if cubic:
            resize.clamp(s.tile)
        put_row(s.tile, ZERO, side, s.planes, y * side, side * side, FINE)
