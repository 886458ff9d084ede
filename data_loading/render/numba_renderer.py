"""Render: one decoded image and its plan -> all its views, written straight into the batch's memory.

A view is made a few rows at a time: they are resized into a tile that stays in the L1 cache, the program's steps run
over the tile, and it is normalised into the batch. Three kinds of steps need more than a row. A blur keeps its last
rows in a ring buffer. Contrast needs the mean of the whole image, and geometric ops the image itself: for these the
rows are written into a plane, and a second pass continues from it.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np

from data_loading.errors import ViewError
from data_loading.kernel.jit import NO, ZERO, jit
from data_loading.ops import blur, direct_copy, normalize, program, resize, whole_image
from data_loading.ops.blur import BLUR
from data_loading.ops.color_jitter import CONTRAST
from data_loading.ops.flip import FLIP
from data_loading.ops.grayscale import gray_sum
from data_loading.ops.normalize import Normalize
from data_loading.ops.rows import put_image, put_row, take_image, take_row
from data_loading.ops.step import END
from data_loading.render import reference
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


class Source(NamedTuple):
    """The rows of one view: an image and its taps, or a crop in Scratch.base that several views share."""

    memory: np.ndarray  # (bytes,) uint8
    start: int
    width: int
    taps: tuple[int, int, int, int]  # of find_taps
    shared: bool
    flipped: bool  # read rows of a shared crop backwards; for any other crop the taps are reversed instead


class Pass(NamedTuple):
    """One pass of a view's rows through a tile: steps k to a - 1, a blur at step a if radius > 0, steps up to b - 1."""

    k: int
    a: int
    b: int
    radius: int  # of the blur in pixels, 0: none
    mean: np.float32  # of the image's gray, for a contrast at step k
    from_plane: bool  # read rows from Scratch.plane, where the pass before has written them
    last: bool  # write rows into the batch, else into Scratch.plane
    sums_gray: bool  # sum the gray of all pixels, because a contrast follows


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


@jit
def resize_row(memory, start, width, taps, y, side, cubic, s, tile, row):
    """Write row y of the resized crop into the tile, from `row` on; taps: of find_taps, which has filled s."""
    pairs, down, left, columns = taps
    at = start + 3 * (s.rows[y] * width + left)
    resize.vertical(memory, at, 3 * width, 3 * columns, s.row_weight, s.rows.size, y, down, s.line)
    unit = resize.CUBIC_UNIT if cubic else resize.UNIT
    resize.horizontal(s.line, s.columns, s.column_weight, pairs, side, unit, tile, row)


@jit(inline=True)
def resize_whole(memory, start, width, taps, side, cubic, s):
    """Write a resized crop that several views share into s.base."""
    for y in range(side):
        resize_row(memory, start, width, taps, y, side, cubic, s.resize, s.tile, ZERO)
        if cubic:
            resize.clamp(s.tile)
        put_row(s.tile, ZERO, side, s.base, y * side, side * side)


@jit(inline=True)
def view(source, op, arg, word, side, cubic, out, place, s):
    """Render one view into the batch, in as many passes as its program needs.

    op (K,) uint8, arg and word (K, ARGS) float32 and uint32: its program.
    place: index of the view's first value in the flat array of the batch.
    """
    k = 1 if source.flipped else 0  # the next step
    mean, known = F32(0.0), False  # of gray, for a contrast that is step k
    in_plane = False
    while True:
        a, b, radius = ends(op, arg, k, known, side)
        last = b == op.size or op[b] == END
        before_contrast = not last and op[b] == CONTRAST
        if last or before_contrast or not in_plane or b > k:
            now = Pass(k, a, b, radius, mean, in_plane, last, before_contrast)
            mean = F32(run(now, source, op, arg, side, cubic, out, place, s) / (side * side))
        if last:
            return
        in_plane, known, k = True, before_contrast, b
        if not before_contrast and op[b] != BLUR:
            take_image(s.plane, s.image)
            while k < op.size and program.on_image(op[k]):
                k = program.run_on_image(op, arg, word, k, s.image, s.spare, s.small, s.addresses)
            put_image(s.image, s.plane)


@jit
def ends(op, arg, k, known, side):
    """Find the end of the next pass, which begins at step k -> (a, b, the blur's radius): see Pass.

    known: step k is a contrast and the image's mean gray is known.
    """
    a = k + 1 if known else k
    while a < op.size and program.on_rows(op[a]):
        a += 1
    b, radius = a, 0
    if a < op.size and op[a] == BLUR:
        radius = blur.blur_radius(arg[a, 0], arg[a, 1], side, side)
        b += 1
        while b < op.size and program.on_rows(op[b]):
            b += 1
    return a, b, radius


@jit(inline=True)
def run(now, source, op, arg, side, cubic, out, place, s):
    """Run a Pass over all rows of a view -> the sum of their gray if a contrast follows, else 0."""
    tile, radius, pitch = s.tile, now.radius, s.resize.columns.size
    block = tile.size // (3 * pitch)
    if radius > 0:
        blur.gaussian(arg[now.a, 0], radius, s.blur.taps)
    gray, done = 0.0, ZERO
    for top in range(0, side, block):
        here = min(block, side - top)
        read(now.from_plane, source, top, here, side, cubic, tile, s)
        steps(op, arg, now.k, now.a, now.mean, tile, side, pitch)
        if radius == 0:
            steps(op, arg, now.a + 1, now.b, now.mean, tile, side, pitch)
        for y in range(top, top + here):
            ready, row = tile, (y - top) * pitch
            if radius > 0:
                at = y % (2 * radius + 1) * s.blur.single.size
                blur.across(tile, row, pitch, side, radius, s.blur.taps, s.blur.lines, s.blur.ring, at)
                ready, row = s.blur.single, ZERO
            while done <= y - radius or (y == side - 1 and done < side):
                if radius > 0:
                    blur.down(s.blur.ring, done, side, radius, s.blur.taps, s.blur.places, ready)
                    steps(op, arg, now.a + 1, now.b, now.mean, ready, side, pitch)
                if now.last:
                    write(ready, row, done, side, out, place, s)
                else:
                    put_row(ready, row, side, s.plane, done * side, side * side)
                    if now.sums_gray:
                        gray += gray_sum(ready, row, side)
                done += 1
    return gray


@jit(inline=True)
def read(from_plane, source, top, here, side, cubic, tile, s):
    """Fill the tile with rows top to top + here - 1 of a view."""
    pitch = s.resize.columns.size
    for y in range(top, top + here):
        row = (y - top) * pitch
        if from_plane:
            take_row(s.plane, y * side, side * side, side, NO, tile, row, pitch)
        elif source.shared:
            take_row(s.base, y * side, side * side, side, source.flipped, tile, row, pitch)
        else:
            resize_row(source.memory, source.start, source.width, source.taps, y, side, cubic, s.resize, tile, row)
    if cubic and not from_plane and not source.shared:
        resize.clamp(tile)


@jit
def steps(op, arg, first, end, mean, tile, side, pitch):
    """Run steps first to end - 1 of a program on a tile; all of them need only pixels of their own row."""
    for j in range(first, end):
        program.rows(op[j], arg[j], mean, tile, side, pitch)


@jit(inline=True)
def write(ready, row, y, side, out, place, s):
    """Write row y of a view, which starts at `row` of `ready`, into the batch."""
    at, size = place + y * side, side * side
    if out.kind == 0:
        normalize.kernel(ready, row, side, out.scale, out.bias, out.floats, at, size, s.edge)
    elif out.kind == 1:
        normalize.kernel(ready, row, side, out.scale, out.bias, out.bytes, at, size, s.edge8)
    else:
        brain = out.kind == 3
        normalize.kernel16(ready, row, side, out.scale, out.bias, brain, out.halves, at, size, s.edge16)
