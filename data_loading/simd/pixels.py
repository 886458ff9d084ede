"""The inner loop of the horizontal pass: four RGB pixels at a time, each in a vector of 4 lanes, of which 3 count."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from data_loading.simd.vector import I8, I32, LANES, V4, V, multiply_add, shuffled, spread_lanes


def _weighted_pixel(builder, row, place, weights, taps):
    """Sum of taps RGB pixels from row[place :], each times its weight; lane 3 belongs to no pixel."""
    result = None
    for k in range(taps):
        source = builder.gep(row, [builder.add(place, ir.Constant(place.type, 3 * k))])
        pixel = builder.load(builder.bitcast(source, V4.ir.as_pointer()), align=4)
        w = spread_lanes(builder, builder.load(weights[k]), 4)
        result = builder.fmul(pixel, w) if k == 0 else multiply_add(builder, V4, pixel, w, result)
    return result


def _store_planar(builder, tile, place, step, pixels):
    """Four RGB pixels -> four values of each plane, `step` apart."""
    a, b, c, d = pixels
    ab, cd = shuffled(builder, a, b, [0, 4, 1, 5]), shuffled(builder, c, d, [0, 4, 1, 5])
    blue_ab, blue_cd = shuffled(builder, a, b, [2, 6, 2, 6]), shuffled(builder, c, d, [2, 6, 2, 6])
    values = (
        shuffled(builder, ab, cd, [0, 1, 4, 5]),
        shuffled(builder, ab, cd, [2, 3, 6, 7]),
        shuffled(builder, blue_ab, blue_cd, [0, 1, 4, 5]),
    )
    for value in values:
        builder.store(value, builder.bitcast(builder.gep(tile, [place]), V4.ir.as_pointer()), align=4)
        place = builder.add(place, step)


@intrinsic
def load_pixels(typing, array, index):
    """Three vectors: the red, green and blue of LANES interleaved uint8 pixels from array[index] on."""

    def code(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(data, [arguments[1]])
        bytes_ = builder.load(builder.bitcast(place, ir.VectorType(I8, 3 * LANES).as_pointer()), align=1)
        channels = []
        for c in range(3):
            channel = shuffled(builder, bytes_, bytes_, list(range(c, 3 * LANES, 3)))
            channels.append(builder.sitofp(builder.zext(channel, ir.VectorType(I32, LANES)), V.ir))
        return context.make_tuple(builder, signature.return_type, channels)

    return types.UniTuple(V, 3)(array, index), code


@intrinsic(prefer_literal=True)
def weighted_pixels(typing, row, first, weight, pitch, x, tile, place, step, taps):
    """Four pixels, x to x + 3: each the sum over k < taps of weight[x + k pitch] row[first[x] + 3 k :].

    They go to tile[place], tile[place + step] and tile[place + 2 step]. taps is a literal: its loop is written out.
    row is read one element beyond the last pixel.
    """

    def code(context, builder, signature, arguments):
        row, first, weight, tile = (
            context.make_array(signature.args[i])(context, builder, arguments[i]).data for i in (0, 1, 2, 5)
        )
        pitch, x, place, step = arguments[3], arguments[4], arguments[6], arguments[7]
        pixels = []
        for j in range(4):
            at = builder.add(x, ir.Constant(x.type, j))
            source, weights = builder.load(builder.gep(first, [at])), []
            for _ in range(taps.literal_value):
                weights.append(builder.gep(weight, [at]))
                at = builder.add(at, pitch)
            pixels.append(_weighted_pixel(builder, row, source, weights, taps.literal_value))
        _store_planar(builder, tile, place, step, pixels)
        return context.get_dummy_value()

    return types.void(row, first, weight, pitch, x, tile, place, step, taps), code


@intrinsic
def store_pixels(typing, tile, place, step, a, b, c, d):
    """Four RGB pixels, lanes 0 to 2 of four vectors, into tile[place], tile[place + step] and tile[place + 2 step]."""

    def code(context, builder, signature, arguments):
        tile = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        _store_planar(builder, tile, arguments[1], arguments[2], arguments[3:])
        return context.get_dummy_value()

    return types.void(tile, place, step, a, b, c, d), code
