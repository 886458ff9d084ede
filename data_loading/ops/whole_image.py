"""Kernels that need the whole image: each is compiled when a view set first uses it, and called by its address.

So a view set that needs none of them does not wait for them, and a user's own op is called like a built-in one.
The `image_kernel` of a step is a plain function (image, scratch, height, width, arg, word, small) of pointers and two
integers, which `planes` and `words` turn into arrays: image, which it changes in place, and scratch (3, height, width)
float32; the step's words (ARGS,) as arg float32 and as word uint32; small (SMALL,) float32, more scratch memory. If the
step joins the one before it, small[0] is 1 and small[1:1 + ARGS] are that step's numbers, else small[0] is 0.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types

from data_loading.kernel.jit import cached_cfunc, intrinsic, jit
from data_loading.ops.base import Op
from data_loading.ops.step import ARGS, STEPS

F32 = np.float32
SMALL = 1024  # float32 numbers of the small scratch memory
_f32, _u32 = types.CPointer(types.float32), types.CPointer(types.uint32)
KERNEL = types.void(_f32, _f32, types.int64, types.int64, _f32, _u32, _f32)


@jit
def planes(image, scratch, height, width):
    """Turn the pointers image and scratch into arrays (3, height, width) float32."""
    return numba.carray(image, (3, height, width)), numba.carray(scratch, (3, height, width))


@jit
def words(arg, word, small):
    """Turn the pointers into the arrays arg (ARGS,) float32, word (ARGS,) uint32 and small (SMALL,) float32."""
    return numba.carray(arg, (ARGS,)), numba.carray(word, (ARGS,)), numba.carray(small, (SMALL,))


_compiled: dict[int, Any] = {}  # a reference to each keeps its machine code alive
LOCK = threading.RLock()  # two threads that ask for one kernel get one address


def address(code: int) -> int:
    """The address of a step's compiled kernel; the first call compiles it or loads it from numba's cache."""
    with LOCK:
        if code not in _compiled:
            _compiled[code] = cached_cfunc(STEPS[code].image_kernel, KERNEL)
        return _compiled[code].address


def table(used: Iterable[Op]) -> np.ndarray:
    """The addresses of the kernels that the ops' steps need, by code; 0 for every other code: (256,) int64."""
    out = np.zeros(256, np.int64)
    for op in used:
        for code in op.writes:
            own = op.kernel_address()
            if own or code in STEPS and STEPS[code].image_kernel is not None:
                out[code] = own or address(code)
    return out


@intrinsic
def call(typing, address, image, scratch, arg, word, small):
    """Call a kernel at an address; image and scratch are contiguous (3, H, W)."""

    def code(context, builder, signature, arguments):
        image, scratch, arg, word, small = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[1:], arguments[1:], strict=True)
        )
        _, height, width = (builder.extract_value(image.shape, i) for i in range(3))
        passed = [image.data, scratch.data, height, width, arg.data, word.data, small.data]
        call_at(builder, arguments[0], passed)
        return context.get_dummy_value()

    return types.void(address, image, scratch, arg, word, small), code


def call_at(builder, address, values) -> None:
    """Emit the call of a C function without result at an address (an integer in the code that is built)."""
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)


@jit(inline=True)
def clamp_plane(plane):
    """Clamp an image (3, H, W), written by a user's own kernel, to 0..255; NaN becomes 0."""
    flat = plane.reshape(-1)
    for i in range(flat.size):
        flat[i] = min(max(F32(0.0), flat[i]), F32(255.0))
