"""Render: one decoded image and its plan -> all its views, written straight into the batch's memory."""

from __future__ import annotations

import math

import numpy as np

from data_loading.jit import jit
from data_loading.ops import normalize, program
from data_loading.ops.normalize import Normalize
from data_loading.ops.resize import crop_resize
from data_loading.plan import Plan
from data_loading.views import ViewSet

F32 = np.float32
BLUR_LINE = 181  # twice the largest radius of a blur (60) and its taps


class Renderer:
    """One thread's scratch memory and the tables of a view set; not to be shared between threads.

    largest: the longest side of any image, in pixels.  normalize: None writes uint8.
    """

    def __init__(self, view_set: ViewSet, largest: int, normalize: Normalize | None):
        self.groups = []
        scale, bias = (normalize or Normalize()).scale_bias()
        for side, members in view_set.groups():
            crops = np.array([view_set.views[v].crop for v in members], np.int64)
            order = np.argsort(crops, kind="stable")  # views of one crop follow each other: it is resized once
            inside = np.array([view_set.crop_rule(c).edge == "crop" for c in crops])
            reach = 2 * math.ceil(max(largest / side, 1.0)) + 3  # taps of a pixel, at most
            scratch = (
                np.empty(side, np.int64),
                np.empty(side, np.int64),
                np.empty((side, reach), F32),
                np.empty(side, np.int64),
                np.empty(side, np.int64),
                np.empty((side, reach), F32),
                np.empty(3 * largest, F32),
                np.empty((3, side, side), F32),
                np.empty((3, side, side), F32),
                np.empty((3, side, side), F32),
                np.empty(side + BLUR_LINE, F32),
                np.empty((2, 4, 4), F32),
                np.empty(6, F32),
            )
            self.groups.append((np.asarray(members, np.int64), order, crops, inside, scale, bias, scratch))

    def __call__(self, memory, start, height, width, plan: Plan, first: int, outs: list[np.ndarray]) -> None:
        """Render samples first, first + 1, ... of a plan.

        memory uint8 (bytes,): sample i's pixels (H, W, 3) lie at start[i] (int64), its sides are height[i], width[i].
        outs: for each group of the view set (V, B, 3, S, S), float32 or uint8.
        """
        numbers = plan.numbers
        for (members, order, crops, inside, scale, bias, scratch), out in zip(self.groups, outs, strict=True):
            floats, bytes_ = (EMPTY_FLOAT, out) if out.dtype == np.uint8 else (out, EMPTY_BYTES)
            render(
                memory,
                start,
                height,
                width,
                plan.box,
                plan.op,
                numbers,
                plan.arg,
                first,
                members,
                order,
                crops,
                inside,
                scale,
                bias,
                floats,
                bytes_,
                *scratch,
            )


EMPTY_FLOAT, EMPTY_BYTES = np.empty((0, 0, 0, 0, 0), F32), np.empty((0, 0, 0, 0, 0), np.uint8)


@jit
def render(
    memory, start, height, width, box, op, arg, word, first, members, order, crops, inside, scale, bias,
    floats, bytes_, xs, nx, wx, ys, ny, wy, row, base, plane, spare, line, field, matrix,
):  # fmt: skip
    """See Renderer: floats or bytes_ is the output, the other is empty; from xs on all is scratch."""
    for i in range(start.size):
        h, w, b = height[i], width[i], first + i
        pixels = memory[start[i] : start[i] + 3 * h * w]
        crop = -1
        for k in range(order.size):
            g = order[k]  # place in the group's block
            v = members[g]  # number of the view
            if crops[g] != crop:
                crop = crops[g]
                crop_resize(pixels, h, w, box[v, b], inside[g], xs, nx, wx, ys, ny, wy, row, base)
            plane[:] = base
            program.run(op[v, b], arg[v, b], word[v, b], plane, spare, line, field, matrix)
            if floats.size > 0:
                normalize.kernel(plane, scale, bias, floats[g, b])
            else:
                normalize.quantize(plane, bytes_[g, b])
