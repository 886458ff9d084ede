"""Ops that need the whole image: each is compiled when a view set first uses it, and called by its address.

So a view set that needs none of them does not wait for them, and a user's own op is called in the same way.
A kernel behind a pointer takes: image and scratch float32 (3, height, width), arg float32 and word uint32 (ARGS,),
small float32 (SMALL,), memory whose first six numbers are the affine map just before (for elastic), else the identity.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from data_loading.kernel.jit import cached_cfunc, jit
from data_loading.ops import (
    affine,
    autocontrast,
    elastic,
    equalize,
    erasing,
    noise,
    sharpness,
    thickness,
    vertical_flip,
    warp,
)
from data_loading.ops.base import (
    AFFINE,
    ARGS,
    AUTOCONTRAST,
    ELASTIC,
    EQUALIZE,
    ERASING,
    NOISE,
    OWN,
    SHARPNESS,
    THICKNESS,
    VERTICAL_FLIP,
    WARP,
    Op,
)

F32 = np.float32
SMALL = 1024
_f32, _u32 = types.CPointer(types.float32), types.CPointer(types.uint32)
KERNEL = types.void(_f32, _f32, types.int64, types.int64, _f32, _u32, _f32)


@jit
def planes(image, scratch, height, width):
    return numba.carray(image, (3, height, width)), numba.carray(scratch, (3, height, width))


@jit
def numbers(arg, word, small):
    return numba.carray(arg, (ARGS,)), numba.carray(word, (ARGS,)), numba.carray(small, (SMALL,))


def _affine(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    affine.kernel(plane, spare, numbers(arg, word, small)[0])


def _elastic(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    arg, word, small = numbers(arg, word, small)
    field = small[6:38].reshape((2, 4, 4))
    elastic.kernel(plane, spare, field, arg[0], word[1], word[2], small[:6])


def _thickness(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    thickness.kernel(plane, spare, numbers(arg, word, small)[0][0])


def _erasing(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    erasing.kernel(plane, numbers(arg, word, small)[0])


def _noise(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    arg, word, small = numbers(arg, word, small)
    noise.kernel(plane, arg[0], word[1], word[2])


def _vertical_flip(image, scratch, height, width, arg, word, small):
    vertical_flip.kernel(planes(image, scratch, height, width)[0])


def _warp(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    warp.kernel(plane, spare, numbers(arg, word, small)[0])


def _sharpness(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    sharpness.kernel(plane, spare, numbers(arg, word, small)[0][0])


def _equalize(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    arg, word, small = numbers(arg, word, small)
    equalize.kernel(plane, small[:256].view(np.int32), small[256:512])


def _autocontrast(image, scratch, height, width, arg, word, small):
    plane, spare = planes(image, scratch, height, width)
    arg, word, small = numbers(arg, word, small)
    autocontrast.kernel(plane, small[:256].view(np.int32), small[256:512])


KERNELS: dict[int, Callable] = {
    AFFINE: _affine,
    ELASTIC: _elastic,
    THICKNESS: _thickness,
    ERASING: _erasing,
    NOISE: _noise,
    VERTICAL_FLIP: _vertical_flip,
    WARP: _warp,
    SHARPNESS: _sharpness,
    EQUALIZE: _equalize,
    AUTOCONTRAST: _autocontrast,
}
_compiled: dict[int, object] = {}  # kept, or their machine code would go
LOCK = threading.RLock()  # two threads that ask for one kernel get one address


def address(code: int) -> int:
    """Of the kernel of a step, compiled or taken from disk now if it was not yet."""
    with LOCK:
        if code not in _compiled:
            _compiled[code] = cached_cfunc(KERNELS[code], KERNEL)
        return _compiled[code].address


def table(used: Iterable[Op]) -> np.ndarray:
    """(256,) int64: by code, the addresses of the kernels that the ops' steps need; 0 for all others."""
    out = np.zeros(256, np.int64)
    for op in used:
        for code in op.writes:
            own = op.kernel_address()
            if own or code in KERNELS:
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
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)


@jit(inline=True)
def clamp_plane(plane):
    """What a user's own kernel has left above 255 or below 0 is cut, NaN too."""
    flat = plane.reshape(-1)
    for i in range(flat.size):
        flat[i] = min(max(F32(0.0), flat[i]), F32(255.0))


@jit(inline=True)
def run(op, arg, word, k, plane, scratch, small, addresses):
    """Run step k, which needs the whole image, on plane (3, H, W) float32 in place -> the number of the next step."""
    for i in range(6):
        small[i] = F32(0.0)
    small[0], small[4] = F32(1.0), F32(1.0)
    if op[k] == AFFINE and k + 1 < op.size and op[k + 1] == ELASTIC:  # one resampling for both
        for i in range(6):
            small[i] = arg[k, i]
        k += 1
    if addresses[op[k]] == 0:
        raise ValueError("the plan has a step whose op is not in the view set")
    call(addresses[op[k]], plane, scratch, arg[k], word[k], small)
    if op[k] >= OWN:
        clamp_plane(plane)
    return k + 1
