"""Passes: one view's rows, once or several times through a tile, from the image or from memory into the batch.

A view is made a few rows at a time: they are resized into a tile that stays in the L1 cache, the program's steps run
over the tile, and it is normalised into the batch. Some steps need more than a row:
- a blur and sharpness need rows above and below: the last rows are kept in a ring;
- a nearest warp needs rows from anywhere: the rows are written into a plane, from which another pass reads them warped;
- contrast, equalize and autocontrast need to know something about all pixels: a pass writes the rows into a plane and
  finds it out, and another pass begins with the step;
- all others need the image itself: they are called between two passes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_loading.kernel.jit import NO, YES, ZERO, jit
from data_loading.ops import autocontrast, blur, equalize, histogram, normalize, program, resize, sharpness, warp
from data_loading.ops.autocontrast import AUTOCONTRAST
from data_loading.ops.blur import BLUR
from data_loading.ops.color_jitter import CONTRAST
from data_loading.ops.equalize import EQUALIZE
from data_loading.ops.grayscale import gray_sum
from data_loading.ops.rows import FINE, WHOLE, put_image, put_row, take_image, take_row
from data_loading.ops.step import END

F32 = np.float32
IMAGE, PLANE, WARPED, LEVELS, BATCH, NOWHERE = range(6)  # where a pass reads rows, and where it writes them


class Source(NamedTuple):
    """The rows of one view: an image and its taps, or the crop in Scratch.planes that several views share."""

    memory: np.ndarray  # (bytes,) uint8
    start: int
    width: int
    taps: tuple[int, int, int, int]  # of find_taps
    shared: bool
    flipped: bool  # read rows of a shared crop backwards; for any other crop the taps are reversed instead


class Pass(NamedTuple):
    """One pass of a view's rows through a tile: steps k to a - 1, step a if it reads rows around, steps up to b - 1."""

    k: int
    a: int
    b: int
    radius: int  # rows above and below that step a reads; 0: there is no such step, or it does nothing
    mean: np.float32  # of the image's gray, for a contrast at step k
    reads: int  # IMAGE, PLANE, WARPED (a plane by Scratch.moving), LEVELS (by the table of Scratch.finding)
    at: int  # where they start in Scratch.planes or Scratch.levels
    mirrored: bool  # the rows of a plane are read backwards
    writes: int  # PLANE, LEVELS, BATCH, NOWHERE
    to: int  # where they start
    finds: int  # the code of the step that needs to know something about all pixels, or END


@jit(inline=True)
def view(source, op, arg, word, side, cubic, out, place, s):
    """Render one view into the batch, in as many passes as its program needs.

    op (K,) uint8, arg and word (K, ARGS) float32 and uint32: its program.
    place: index of the view's first value in the flat array of the batch.
    """
    size, half = s.planes.size // 3, s.levels.size // 2
    k = 1 if source.flipped else 0  # the next step
    stored, at, mirrored = source.shared, ZERO, source.flipped  # the view so far is in a plane
    found, mean, levels = END, F32(0.0), ZERO
    while True:
        reads = PLANE if stored else IMAGE
        if found == EQUALIZE or found == AUTOCONTRAST:
            k, reads = fill_table(found, op, arg, k, s.finding), LEVELS
        elif stored and warp.is_nearest(op, arg, k):
            warp.fixed_map(arg[k], side, mirrored, s.moving.numbers)
            k, reads = k + 1, WARPED
        a, b, radius = ends(op, arg, k, found == CONTRAST, side)
        last = b == op.size or op[b] == END
        found = op[b] if not last and program.finds(op[b]) else END
        to = size if at != size else 2 * size
        idle = reads == PLANE and b == k and not last
        writes = PLANE
        if last:
            writes = BATCH
        elif found == EQUALIZE or found == AUTOCONTRAST:
            writes = LEVELS
        elif idle and (at != 0 or found == CONTRAST or warp.is_nearest(op, arg, b)):
            writes = NOWHERE
        if writes != NOWHERE or found != END:
            begin = levels if reads == LEVELS else at
            if writes == LEVELS:
                levels = half - levels
                to = levels
            now = Pass(k, a, b, radius, mean, reads, begin, mirrored, writes, to, found)
            mean = F32(run(now, source, op, arg, side, cubic, out, place, s) / (side * side))
        if last:
            return
        k = b
        if writes == PLANE:
            stored, at, mirrored = YES, to, NO
        k = run_on_image(op, arg, word, k, at, s)


@jit(inline=True)
def run_on_image(op, arg, word, k, at, s):
    """Run the steps from k on that need the whole image, in the plane at `at` -> the number of the next step."""
    first = k
    while k < op.size and program.on_image(op[k]) and not warp.is_nearest(op, arg, k):
        if k == first:
            take_image(s.planes, at, s.image)
        k = program.run_on_image(op, arg, word, k, s.image, s.spare, s.small, s.addresses)
    if k > first:
        put_image(s.image, s.planes, at)
    return k


@jit
def fill_table(found, op, arg, k, finding):
    """Write what step k, equalize or autocontrast, makes of each level into the table -> the number of the next step.

    Steps behind it that are functions of a value run on the table's values in place of the view's.
    """
    if found == EQUALIZE:
        histogram.add_tables(finding.counts)
        equalize.fill_table(finding.counts, finding.table)
    else:
        autocontrast.fill_table(finding.extremes, finding.table)
    k += 1
    while k < op.size and program.on_values(op[k]):
        program.rows(op[k], arg[k], F32(0.0), finding.table, ZERO, ZERO)
        k += 1
    return k


@jit
def ends(op, arg, k, known, side):
    """Find the end of the next pass, which begins at step k -> (a, b, radius): see Pass.

    known: step k is a contrast and the image's mean gray is known.
    """
    a = k + 1 if known else k
    while a < op.size and program.on_rows(op[a]):
        a += 1
    b, radius = a, ZERO
    if a < op.size and program.near(op[a]):
        radius = program.radius(op[a], arg[a], side)
        b += 1
        while b < op.size and program.on_rows(op[b]):
            b += 1
    return a, b, radius


@jit(inline=True)
def run(now, source, op, arg, side, cubic, out, place, s):
    """Run a Pass over all rows of a view -> the sum of their gray if a contrast follows, else 0."""
    tile, radius, pitch = s.tile, now.radius, s.resize.columns.size
    block, blurs = tile.size // (3 * pitch), radius > 0 and op[now.a] == BLUR
    if blurs:
        blur.gaussian(arg[now.a, 0], radius, s.blur.taps)
    if now.writes == LEVELS:
        histogram.forget(s.finding.counts, s.finding.extremes)
    turned = program.turns(op, now.a, now.b)  # upside down at step a
    upside = turned ^ program.turns(op, now.k, now.a)  # and in the rows that are read, so that none is as written
    gray, done = 0.0, ZERO
    for top in range(0, side, block):
        here = min(block, side - top)
        read(now, source, top, here, upside, side, cubic, tile, s)
        program.steps(op, arg, now.k, now.a, now.mean, tile, side, pitch, top, upside)
        if radius == 0:
            program.steps(op, arg, now.a + 1, now.b, now.mean, tile, side, pitch, top, turned)
        for y in range(top, top + here):
            ready, row = tile, (y - top) * pitch
            if blurs:
                at = y % (2 * radius + 1) * s.blur.single.size
                blur.across(tile, row, pitch, side, radius, s.blur.taps, s.blur.lines, s.blur.ring, at)
            elif radius > 0:
                sharpness.keep(tile, row, pitch, s.sharpening.ring, y % 3 * s.blur.single.size)
            while done <= y - radius or (y == side - 1 and done < side):
                if radius > 0:
                    ready, row = s.blur.single, ZERO
                    if blurs:
                        blur.down(s.blur.ring, done, side, radius, s.blur.taps, s.blur.places, ready)
                    else:
                        sharpness.kernel(s.sharpening.ring, done, side, arg[now.a, 0], s.sharpening.sums, ready)
                    program.steps(op, arg, now.a + 1, now.b, now.mean, ready, side, pitch, done, turned)
                gray += write(now, ready, row, done, side, out, place, s)
                done += 1
    return gray


@jit(inline=True)
def read(now, source, top, here, upside, side, cubic, tile, s):
    """Fill the tile with rows top, top + 1, ..., top + here - 1 of a view, from its bottom if `upside` (down)."""
    pitch, size = s.resize.columns.size, side * side
    for i in range(top, top + here):
        y, row = side - 1 - i if upside else i, (i - top) * pitch
        if now.reads == PLANE:
            take_row(s.planes, now.at + y * side, size, side, now.mirrored, tile, row, pitch)
        elif now.reads == WARPED:
            warp.take_row(s.planes, now.at, y, side, s.moving.numbers, s.moving.line, tile, row, pitch)
        elif now.reads == LEVELS:
            histogram.look_up_row(s.levels, now.at + y * side, size, side, s.finding.table, tile, row)
        else:
            resize_row(source.memory, source.start, source.width, source.taps, y, side, cubic, s.resize, tile, row)
    if cubic and now.reads == IMAGE:
        resize.clamp(tile)


@jit
def resize_row(memory, start, width, taps, y, side, cubic, s, tile, row):
    """Write row y of the resized crop into the tile, from `row` on; taps: of find_taps, which has filled s."""
    pairs, down, left, columns = taps
    at = start + 3 * (s.rows[y] * width + left)
    resize.vertical(memory, at, 3 * width, 3 * columns, s.row_weight, s.rows.size, y, down, s.line)
    unit = resize.CUBIC_UNIT if cubic else resize.UNIT
    resize.horizontal(s.line, s.columns, s.column_weight, pairs, side, unit, tile, row)


@jit(inline=True)
def write(now, ready, row, y, side, out, place, s):
    """Write row y of a view, which starts at `row` of `ready`, where the pass says -> the sum of its gray, or 0."""
    size = side * side
    if now.writes == BATCH:
        to_batch(ready, row, side, out, place + y * side, size, s)
    elif now.writes == PLANE:
        put_row(ready, row, side, s.planes, now.to + y * side, size, FINE)
    elif now.writes == LEVELS:
        put_row(ready, row, side, s.levels, now.to + y * side, size, WHOLE)
        if now.finds == EQUALIZE:
            histogram.count_row(s.levels, now.to + y * side, side, size, s.finding.counts)
        else:
            histogram.find_extremes(ready, row, side, s.finding.extremes)
    return gray_sum(ready, row, side) if now.finds == CONTRAST else F32(0.0)


@jit(inline=True)
def to_batch(ready, row, side, out, at, size, s):
    """Normalise a row into the batch, from `at` on; its channels are `size` values apart."""
    if out.kind == 0:
        normalize.kernel(ready, row, side, out.scale, out.bias, out.floats, at, size, s.edge)
    elif out.kind == 1:
        normalize.kernel(ready, row, side, out.scale, out.bias, out.bytes, at, size, s.edge8)
    else:
        brain = out.kind == 3
        normalize.kernel16(ready, row, side, out.scale, out.bias, brain, out.halves, at, size, s.edge16)
