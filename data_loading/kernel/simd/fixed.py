"""Fixed-point vectors: 16 integers of 16 bits (twice as many per register as float32), with 32-bit sums of products.

The LLVM code is written so that LLVM selects the processor's instructions for these operations (x86: pmulhuw, pmaddwd).
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.extending import overload

from data_loading.kernel.jit import intrinsic
from data_loading.kernel.simd.vector import (
    F32,
    I8,
    I16,
    I32,
    LANES,
    V,
    VectorType,
    address,
    binary,
    every,
    levels_of,
    shuffled,
    spread_lanes,
)

FIXED, SUMS = VectorType(LANES, "int16"), VectorType(8, "int32")
PIXELS = ir.VectorType(I16, 8)  # two adjacent RGB pixels, r g b r g b, and two unused values
WIDE = ir.VectorType(I32, LANES)


@intrinsic
def load_fixed(typing, array, index):
    """Load array[index : index + LANES] of an int16 or uint8 array; uint8 values are multiplied by 256."""

    def code(context, builder, signature, arguments):
        kind = signature.args[0]
        if kind.dtype != types.uint8:
            return builder.load(address(context, builder, kind, *arguments, FIXED.ir), align=2)
        at = address(context, builder, kind, *arguments, ir.VectorType(I8, LANES))
        return builder.shl(builder.zext(builder.load(at, align=1), FIXED.ir), every(LANES, I16, 8))

    return FIXED(array, index), code


@intrinsic
def store_fixed(typing, array, index, vector):
    """Store the vector to array[index : index + LANES] of an int16 array."""

    def code(context, builder, signature, arguments):
        array, index, value = arguments
        builder.store(value, address(context, builder, signature.args[0], array, index, FIXED.ir), align=2)
        return context.get_dummy_value()

    return types.void(array, index, vector), code


@intrinsic
def splat_fixed(typing, value):
    """A vector with the lower 16 bits of an integer in every lane."""

    def code(context, builder, signature, arguments):
        return spread_lanes(builder, builder.trunc(arguments[0], I16), LANES)

    return FIXED(value), code


@intrinsic
def times(typing, a, b):
    """a * b / 65536 per lane, unsigned, rounded down."""

    def code(context, builder, signature, arguments):
        product = builder.mul(*[builder.zext(x, WIDE) for x in arguments])
        return builder.trunc(builder.lshr(product, every(LANES, I32, 16)), FIXED.ir)

    return a(a, b), code


@intrinsic
def levels(typing, a):
    """a / 128 per lane, unsigned, as a float32 vector."""

    def code(context, builder, signature, arguments):
        return levels_of(builder, arguments[0])

    return V(a), code


_add, _subtract = binary("add"), binary("sub")


@overload(operator.add)
def _sum_of_fixed(a, b):
    return (lambda a, b: _add(a, b)) if a == FIXED and b == FIXED else None


@overload(operator.sub)
def _difference_of_fixed(a, b):
    return (lambda a, b: _subtract(a, b)) if a == FIXED and b == FIXED else None


@intrinsic
def no_sums(typing):
    """A vector of eight int32 zeros, to start `add_neighbours` with."""

    def code(context, builder, signature, arguments):
        return every(SUMS.lanes, I32, 0)

    return SUMS(), code


@intrinsic
def add_neighbours(typing, sums, row, i, j, weight, at):
    """Add two weighted input pixels to each of two RGB output pixels. Returns the new sums, int32 x 8.

    sums: lanes 0 to 2 are the first output pixel, lanes 4 to 6 the second.
    row: int16, interleaved RGB. Input pixels of the first output: row[i] and row[i + 3]; of the second: row[j] and
        row[j + 3]. Up to row[i + 7] and row[j + 7] is read.
    weight: int32, each two packed 16-bit weights: weight[at : at + 3] for the first output (one per channel),
        weight[at + 4 : at + 7] for the second.
    """

    def code(context, builder, signature, arguments):
        sums, row, i, j, weight, at = arguments
        kind = signature.args[1]
        first, second = (builder.load(address(context, builder, kind, row, x, PIXELS), align=2) for x in (i, j))
        pairs = [0, 3, 1, 4, 2, 5, 6, 7]
        pixels = shuffled(builder, first, second, pairs + [8 + x for x in pairs])
        weights = builder.load(address(context, builder, signature.args[4], weight, at, FIXED.ir), align=4)
        product = builder.mul(builder.sext(pixels, WIDE), builder.sext(weights, WIDE))
        even, odd = (shuffled(builder, product, product, list(range(x, LANES, 2))) for x in (0, 1))
        return builder.add(builder.add(even, odd), sums)

    return SUMS(sums, row, i, j, weight, at), code


@intrinsic
def store_sums(typing, tile, index, step, scale, a, b, c, d):
    """Store eight RGB pixels, multiplied by `scale`, to a float32 tile, planar.

    a, b, c, d: sums of the pixels 0 and 4, 1 and 5, 2 and 6, 3 and 7.
    Red is stored at tile[index : index + 8], green `step` and blue 2 * `step` values later.
    """

    def code(context, builder, signature, arguments):
        tile, index, step, scale = arguments[:4]
        eight = ir.VectorType(F32, 8)
        scale = spread_lanes(builder, scale, 8)
        a, b, c, d = (builder.fmul(builder.sitofp(sums, eight), scale) for sums in arguments[4:])
        low, high = [0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]
        first, second = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
        red_green = [shuffled(builder, *two, low) for two in ((a, b), (c, d))]
        blue = [shuffled(builder, *two, high) for two in ((a, b), (c, d))]
        for two, order in ((red_green, first), (red_green, second), (blue, first)):
            at = address(context, builder, signature.args[0], tile, index, eight)
            builder.store(shuffled(builder, *two, order), at, align=4)
            index = builder.add(index, step)
        return context.get_dummy_value()

    return types.void(tile, index, step, scale, a, b, c, d), code
