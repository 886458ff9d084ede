"""Load interleaved uint8 RGB pixels into vectors."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from data_loading.kernel.jit import intrinsic
from data_loading.kernel.simd.vector import I8, I32, LANES, V, shuffled


@intrinsic
def load_pixels(typing, array, index):
    """Load LANES interleaved uint8 RGB pixels from array[index] on: float32 vectors (red, green, blue)."""

    def code(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        first = builder.gep(data, [arguments[1]])
        bytes_ = builder.load(builder.bitcast(first, ir.VectorType(I8, 3 * LANES).as_pointer()), align=1)
        channels = []
        for c in range(3):
            channel = shuffled(builder, bytes_, bytes_, list(range(c, 3 * LANES, 3)))
            channels.append(builder.sitofp(builder.zext(channel, ir.VectorType(I32, LANES)), V.ir))
        return context.make_tuple(builder, signature.return_type, channels)

    return types.UniTuple(V, 3)(array, index), code
