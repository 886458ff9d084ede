"""Render: one decoded image and its plan -> all its views, written straight into the batch's memory.

A view is made a few rows at a time: they are resized into a tile that stays in the nearest cache, the program's steps
run over the tile, and it is normalised into the batch. Three kinds of steps need more than a row. A blur keeps its
last rows in a ring. Contrast needs the mean of the whole image, and geometric ops the image itself: there the rows go
into a plane, and a second pass goes on from it.
"""

from __future__ import annotations

import math
import os

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


class Renderer:
    """One thread's scratch memory and the tables of a view set; not to be shared between threads.

    largest: the longest side of any image, in pixels.  normalize: None keeps 0..255.  dtype: of the batch, a name.
    With MASSRL_REFERENCE=1 in the environment the NumPy references draw the views, hundreds of times slower.
    """

    def __init__(self, view_set: ViewSet, largest: int, normalize: Normalize | None, dtype: str | None = None):
        self.dtype = dtype or ("float32" if normalize else "uint8")
        self.kind = KINDS[self.dtype]
        self.view_set = view_set
        self.by_reference = os.environ.get("MASSRL_REFERENCE", "0") not in ("", "0")
        self.scale, self.bias = normalize.scale_bias() if normalize else (np.ones(3, F32), np.zeros(3, F32))
        self.cubic = view_set.interpolation == "bicubic"
        self.groups, addresses = [], whole_image.table(view_set.all_ops())
        for side, members in view_set.groups():
            crops = np.array([view_set.views[v].crop for v in members], np.int64)
            order = np.argsort(crops, kind="stable")  # views of one crop follow each other: it is resized once
            edges = np.array([EDGES[view_set.crop_rule(c).edge] for c in crops])
            shared = np.array([(crops == c).sum() > 1 for c in crops])
            tables = (np.asarray(members, np.int64), order, crops, edges, shared)
            self.groups.append((tables, scratch(side, largest, addresses)))

    def __call__(self, memory, start, height, width, plan: Plan, first: int, outs: list[np.ndarray]) -> None:
        """Render samples first, first + 1, ... of a plan.

        memory uint8 (bytes,): sample i's pixels (H, W, 3) lie at start[i] (int64), its sides are height[i], width[i].
        outs: for each group of the view set (V, B, 3, S, S): float32, uint8, or the bits of 16-bit floats as int16.
        """
        if self.by_reference:
            facts = (memory, start, height, width, plan, first, outs)
            reference.render(self.view_set, *facts, self.scale, self.bias, self.dtype)
            return
        try:
            for (tables, memory_of_thread), out in zip(self.groups, outs, strict=True):
                flat = out.reshape(-1)
                render(
                    memory, start, height, width, plan.box, plan.op, plan.numbers, plan.arg, first, *tables,
                    self.cubic, self.scale, self.bias, self.kind, out.shape[1], out.shape[3],
                    flat if self.kind == 0 else memory_of_thread.edge,
                    flat if self.kind == 1 else memory_of_thread.edge8,
                    flat if self.kind >= 2 else memory_of_thread.edge16,
                    memory_of_thread,
                )  # fmt: skip
        except ValueError as error:  # of a plan that was drawn for other images or another view set
            raise ViewError(f"the plan does not fit: {error}") from error


CROP, IMAGE, PAD = 0, 1, 2
FAR = F32(1e8)  # pixels: a padded crop may lie far outside its image, but 32-bit places must hold it
EDGES = {"crop": CROP, "image": IMAGE, "pad": PAD}


@jit
def render(
    memory, start, height, width, box, op, arg, word, first, members, order, crops, edges, shared,
    cubic, scale, bias, kind, batch, side, floats, bytes_, halves, s,
):  # fmt: skip
    """See Renderer."""
    for i in range(start.size):
        b = first + i
        crop = -1
        for k in range(order.size):
            g = order[k]  # place in the group's block
            v = members[g]  # number of the view
            flipped = op[v, b, 0] == FLIP  # the first step costs nothing: rows are read backwards
            place = (g * batch + b) * 3 * side * side
            if not fits(box[v, b], height[i], width[i], edges[g], side, s.line.size // 3):
                raise ValueError("a box lies outside its image")
            if kind <= 1 and direct_copy.is_copy(box[v, b], side, op[v, b], 1 if flipped else 0):
                x0, y0 = int(box[v, b, 0]), int(box[v, b, 1])
                if kind == 0:
                    direct_copy.kernel(
                        memory, start[i], height[i], width[i], x0, y0, flipped, side, scale, bias, floats, place
                    )
                else:
                    direct_copy.kernel(
                        memory, start[i], height[i], width[i], x0, y0, flipped, side, scale, bias, bytes_, place
                    )
                continue
            if not shared[g] or crops[g] != crop:
                crop = crops[g]
                turned = flipped and not shared[g]
                taps = find_taps(box[v, b], height[i], width[i], edges[g], cubic, turned, side, s)
                if shared[g]:
                    for y in range(side):
                        resize_row(
                            memory, start[i], width[i], taps, y, side, cubic,
                            s.columns, s.column_weight, s.rows, s.row_weight, s.line, s.tile, ZERO,
                        )  # fmt: skip
                        if cubic:
                            resize.clamp(s.tile)
                        put_row(s.tile, ZERO, side, s.base, y * side, side * side)
            view(
                memory, start[i], width[i], taps, cubic, shared[g], flipped, op[v, b], arg[v, b], word[v, b],
                scale, bias, kind, side, floats, bytes_, halves, place, s,
            )  # fmt: skip


@jit(inline=True)
def fits(box, height, width, edge, side, largest):
    """Whether memory can be read as the box says: inside the image, or of a size that scratch was made for; no NaN."""
    if edge == CROP:
        return (
            box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height and box[0] < box[2] and box[1] < box[3]
        )
    w, h, most = box[2] - box[0], box[3] - box[1], max(largest, side) + 1
    near = max(max(abs(box[0]), abs(box[1])), max(abs(box[2]), abs(box[3]))) < FAR
    return near and w > 0 and h > 0 and w <= most and h <= most


@jit
def find_taps(box, height, width, edge, cubic, flip, side, s):
    """Write the taps of both axes -> (pairs of taps across, taps down, first source column, number of columns)."""
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
    for x in range(side):  # neither the first nor the last pixel need have the outermost taps
        left, right = min(left, s.columns[x]), max(right, s.columns[x])
    right += across
    for x in range(s.columns.size):
        s.columns[x] = 3 * (s.columns[x] - left) if x < side else 0  # places in the row
    return pairs, down, left, right - left


@jit
def resize_row(memory, start, width, taps, y, side, cubic, first, weight, rows, row_weight, line, tile, row):
    """Row y of the resized crop -> tile, from `row` on; taps, first, weight, rows, row_weight: of find_taps."""
    pairs, down, left, columns = taps
    at = start + 3 * (rows[y] * width + left)
    resize.vertical(memory, at, 3 * width, 3 * columns, row_weight, rows.size, y, down, line)
    resize.horizontal(line, first, weight, pairs, side, resize.CUBIC_UNIT if cubic else resize.UNIT, tile, row)


@jit(inline=True)
def view(
    memory, start, width, taps, cubic, shared, flipped, op, arg, word,
    scale, bias, kind, side, floats, bytes_, halves, place, s,
):  # fmt: skip
    """One view, in as many passes as its program needs."""
    size = side * side
    tile, single, ring, plane = s.tile, s.single, s.ring, s.plane
    pitch = s.columns.size
    block = tile.size // (3 * pitch)
    columns, column_weight, rows, row_weight, line = s.columns, s.column_weight, s.rows, s.row_weight, s.line
    k = 1 if flipped else 0  # the next step
    mean, known = F32(0.0), False  # of gray, for a contrast that is step k
    in_plane = False
    while True:
        # The pass runs steps k..a-1 on rows, then a blur at a, then steps up to b-1 on the blurred rows.
        a = k + 1 if known else k
        while a < op.size and program.on_rows(op[a]):
            a += 1
        b, radius = a, 0
        if a < op.size and op[a] == BLUR:
            radius = blur.blur_radius(arg[a, 0], arg[a, 1], side, side)
            b += 1
            while b < op.size and program.on_rows(op[b]):
                b += 1
        last = b == op.size or op[b] == END
        before_contrast = not last and op[b] == CONTRAST
        if last or before_contrast or not in_plane or b > k:
            if radius > 0:
                blur.gaussian(arg[a, 0], radius, s.taps)
            gray, done = 0.0, ZERO
            for top in range(0, side, block):
                here = min(block, side - top)
                for y in range(top, top + here):
                    row = (y - top) * pitch
                    if in_plane:
                        take_row(plane, y * side, size, side, NO, tile, row, pitch)
                    elif shared:
                        take_row(s.base, y * side, size, side, flipped, tile, row, pitch)
                    else:
                        resize_row(
                            memory, start, width, taps, y, side, cubic,
                            columns, column_weight, rows, row_weight, line, tile, row,
                        )  # fmt: skip
                if cubic and not in_plane and not shared:
                    resize.clamp(tile)
                for j in range(k, a):
                    program.rows(op[j], arg[j], mean, tile, side, pitch)
                if radius == 0:
                    for j in range(a + 1, b):
                        program.rows(op[j], arg[j], mean, tile, side, pitch)
                for y in range(top, top + here):
                    ready, row = tile, (y - top) * pitch
                    if radius > 0:
                        at = y % (2 * radius + 1) * single.size
                        blur.across(tile, row, pitch, side, radius, s.taps, s.lines, ring, at)
                        ready, row = single, ZERO
                    while done <= y - radius or (y == side - 1 and done < side):
                        if radius > 0:
                            blur.down(ring, done, side, radius, s.taps, s.places, single)
                            for j in range(a + 1, b):
                                program.rows(op[j], arg[j], mean, single, side, pitch)
                        at = done * side
                        if not last:
                            put_row(ready, row, side, plane, at, size)
                            if before_contrast:
                                gray += gray_sum(ready, row, side)
                        elif kind == 0:
                            normalize.kernel(ready, row, side, scale, bias, floats, place + at, size, s.edge)
                        elif kind == 1:
                            normalize.kernel(ready, row, side, scale, bias, bytes_, place + at, size, s.edge8)
                        else:
                            normalize.kernel16(
                                ready, row, side, scale, bias, kind == 3, halves, place + at, size, s.edge16
                            )
                        done += 1
            mean = F32(gray / size)
        if last:
            return
        in_plane, known, k = True, before_contrast, b
        if not before_contrast and op[b] != BLUR:
            take_image(plane, s.image)
            while k < op.size and program.on_image(op[k]):
                k = program.run_on_image(op, arg, word, k, s.image, s.spare, s.small, s.addresses)
            put_image(s.image, plane)
