"""A vector of 16 float32 for numba kernels.

LLVM compiles it to the processor's registers (SSE, AVX2, AVX-512, NEON). Operators +, -, *, / work per lane; a float32
scalar is broadcast. LLVM may not reorder operations, so a kernel gives identical bytes wherever it is inlined.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.extending import models, overload, register_model

from data_loading.kernel.jit import intrinsic

LANES = 16  # two or four registers without AVX-512; 8 lanes were measured to be slower even there
F32, I32, I16, I8 = ir.FloatType(), ir.IntType(32), ir.IntType(16), ir.IntType(8)


class VectorType(types.Type):
    """The numba type of a vector of `lanes` elements. element: "float32", "int32" or "int16"."""

    def __init__(self, lanes: int, element: str):
        self.lanes = lanes
        self.ir = ir.VectorType({"float32": F32, "int32": I32, "int16": I16}[element], lanes)
        super().__init__(name=f"{element}x{lanes}")


V = VectorType(LANES, "float32")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.ir)


def address(context, builder, array_type, array, index, pointee):
    """LLVM pointer to element `index` of a contiguous array, cast to a pointer to the LLVM type `pointee`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), pointee.as_pointer())


def spread_lanes(builder, scalar, lanes):
    """LLVM vector with `scalar` in each of `lanes` lanes."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def shuffled(builder, a, b, order):
    """LLVM shufflevector: the lanes `order` of a and b concatenated."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(order)), order))


def every(lanes, kind, value):
    """LLVM constant vector with `value`, of LLVM type `kind`, in each of `lanes` lanes."""
    return ir.Constant(ir.VectorType(kind, lanes), [value] * lanes)


def levels_of(builder, fixed):
    """LLVM code for a vector of unsigned 16-bit integers, divided by 128, as float32."""
    wide = builder.zext(fixed, ir.VectorType(I32, LANES))
    return builder.fmul(builder.sitofp(wide, V.ir), every(LANES, F32, 1 / 128))


@intrinsic
def load(typing, array, index):
    """load(array, i): array[i : i + LANES] as float32. array: float32, uint8, or int16 (divided by 128)."""

    def code(context, builder, signature, arguments):
        kind = signature.args[0]
        if kind.dtype == types.float32:
            return builder.load(address(context, builder, kind, *arguments, V.ir), align=4)
        if kind.dtype == types.uint8:
            at = address(context, builder, kind, *arguments, ir.VectorType(I8, LANES))
            wide = builder.zext(builder.load(at, align=1), ir.VectorType(I32, LANES))
            return builder.sitofp(wide, V.ir)  # below 256, so the cheaper signed conversion is exact
        at = address(context, builder, kind, *arguments, ir.VectorType(I16, LANES))
        return levels_of(builder, builder.load(at, align=2))

    return V(array, index), code


@intrinsic
def at(typing, array, index):
    """at(array, i): array[i] of a contiguous array, 0 <= i < len, without numba's code for negative indices."""

    def code(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return array.dtype(array, index), code


@intrinsic
def put(typing, array, index, value):
    """put(array, i, x): array[i] = x, for an x of the array's dtype; `at` for writing."""

    def code(context, builder, signature, arguments):
        array, index, value = arguments
        data = context.make_array(signature.args[0])(context, builder, array).data
        builder.store(value, builder.gep(data, [index]))
        return context.get_dummy_value()

    return types.void(array, index, array.dtype), code


@intrinsic
def spread(typing, array, index):
    """spread(array, i): vector with array[i] of a float32 array in every lane."""

    def code(context, builder, signature, arguments):
        at = address(context, builder, signature.args[0], *arguments, F32)
        return spread_lanes(builder, builder.load(at), LANES)

    return V(array, index), code


@intrinsic
def store(typing, array, index, vector):
    """store(array, i, v): store v to array[i : i + LANES].

    array: float32; uint8 (v is clamped to 0..255 and rounded half up); or int16 (v * 128 is rounded half up, for
    -256 <= v < 256).
    """

    def code(context, builder, signature, arguments):
        (kind, _, _), (array, index, value) = signature.args, arguments
        if kind.dtype == types.float32:
            builder.store(value, address(context, builder, kind, array, index, V.ir), align=4)
            return context.get_dummy_value()
        if kind.dtype == types.int16:
            # fptosi rounds towards zero, so make values positive by adding 65536, which is 0 modulo 2^16.
            scaled = multiply_add(builder, V, value, every(LANES, F32, 128.0), every(LANES, F32, 65536.5))
            small = builder.trunc(builder.fptosi(scaled, ir.VectorType(I32, LANES)), ir.VectorType(I16, LANES))
            builder.store(small, address(context, builder, kind, array, index, small.type), align=2)
            return context.get_dummy_value()
        low, high = every(LANES, F32, 0.0), every(LANES, F32, 255.0)
        value = builder.select(builder.fcmp_ordered(">", value, low), value, low)
        value = builder.select(builder.fcmp_ordered("<", value, high), value, high)
        whole = builder.fptosi(builder.fadd(value, every(LANES, F32, 0.5)), ir.VectorType(I32, LANES))
        small = builder.trunc(whole, ir.VectorType(I8, LANES))
        builder.store(small, address(context, builder, kind, array, index, small.type), align=1)
        return context.get_dummy_value()

    return types.void(array, index, vector), code


@intrinsic
def store_float16(typing, array, index, vector):
    """Store the vector to array[index : index + LANES] of an int16 array as float16 bits, rounded to nearest even."""

    def code(context, builder, signature, arguments):
        array, index, value = arguments
        half = builder.fptrunc(value, ir.VectorType(ir.HalfType(), LANES))
        bits = builder.bitcast(half, ir.VectorType(I16, LANES))
        builder.store(bits, address(context, builder, signature.args[0], array, index, bits.type), align=2)
        return context.get_dummy_value()

    return types.void(array, index, vector), code


@intrinsic
def store_bfloat16(typing, array, index, vector):
    """Store the vector to array[index : index + LANES], int16, as bfloat16 bits, rounded to nearest even. No NaNs."""

    def code(context, builder, signature, arguments):
        array, index, value = arguments
        wide = ir.VectorType(I32, LANES)
        bits = builder.bitcast(value, wide)
        odd = builder.and_(builder.lshr(bits, every(LANES, I32, 16)), every(LANES, I32, 1))
        bits = builder.add(bits, builder.add(odd, every(LANES, I32, 0x7FFF)))
        bits = builder.trunc(builder.lshr(bits, every(LANES, I32, 16)), ir.VectorType(I16, LANES))
        builder.store(bits, address(context, builder, signature.args[0], array, index, bits.type), align=2)
        return context.get_dummy_value()

    return types.void(array, index, vector), code


@intrinsic
def splat(typing, value):
    """splat(x): vector with the float32 x in every lane."""

    def code(context, builder, signature, arguments):
        return spread_lanes(builder, arguments[0], LANES)

    return V(types.float32), code


def binary(instruction):
    """A kernel function that applies the LLVM instruction `instruction` to two vectors of the same type."""

    @intrinsic
    def both(typing, a, b):
        def code(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments)

        return a(a, b), code

    return both


_BINARY = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}


def _overload(function, instruction):
    both = binary(instruction)

    @overload(function)
    def of_vectors(a, b):
        if a == V and b == V:
            return lambda a, b: both(a, b)
        if a == V and isinstance(b, types.Float):
            return lambda a, b: both(a, splat(b))
        if b == V and isinstance(a, types.Float):
            return lambda a, b: both(splat(a), b)
        return None


for _function, _instruction in _BINARY.items():
    _overload(_function, _instruction)


def multiply_add(builder, vector, a, b, c):
    """LLVM code for a * b + c of type `vector`; a fused multiply-add if the processor has one."""
    name = f"llvm.fmuladd.v{vector.lanes}f32"
    kind = ir.FunctionType(vector.ir, [vector.ir] * 3)
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


@intrinsic
def fma(typing, a, b, c):
    """a * b + c per lane, with a single rounding if the processor has a fused multiply-add."""

    def code(context, builder, signature, arguments):
        return multiply_add(builder, a, *arguments)

    return a(a, b, c), code


@intrinsic
def absolute(typing, a):
    """|a| per lane."""

    def code(context, builder, signature, arguments):
        name, kind = f"llvm.fabs.v{a.lanes}f32", ir.FunctionType(a.ir, [a.ir])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return a(a), code


def _selected(predicate):
    @intrinsic
    def smaller_or_larger(typing, a, b):
        def code(context, builder, signature, arguments):
            a, b = arguments
            return builder.select(builder.fcmp_ordered(predicate, a, b), a, b)

        return a(a, b), code

    return smaller_or_larger


minimum, maximum = _selected("<"), _selected(">")  # (a, b) per lane


def _where(predicate):
    @intrinsic
    def where(typing, a, b, yes, no):
        def code(context, builder, signature, arguments):
            a, b, yes, no = arguments
            return builder.select(builder.fcmp_ordered(predicate, a, b), yes, no)

        return yes(a, b, yes, no), code

    return where


# where_equal(a, b, yes, no): per lane, yes if a == b, else no. where_at_least: if a >= b.
where_equal, where_at_least = _where("=="), _where(">=")


@intrinsic
def total(typing, vector):
    """The sum of the lanes as float32, added pairwise (lane i + lane i + LANES / 2, and so on)."""

    def code(context, builder, signature, arguments):
        value, lanes = arguments[0], LANES
        while lanes > 1:
            lanes //= 2
            low = shuffled(builder, value, value, list(range(lanes)))
            high = shuffled(builder, value, value, list(range(lanes, 2 * lanes)))
            value = builder.fadd(low, high)
        return builder.extract_element(value, ir.Constant(I32, 0))

    return types.float32(vector), code


@intrinsic
def reverse(typing, vector):
    """The lanes in reverse order."""

    def code(context, builder, signature, arguments):
        return shuffled(builder, arguments[0], arguments[0], list(range(LANES - 1, -1, -1)))

    return vector(vector), code
