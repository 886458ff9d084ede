"""Rounding of float32 vectors."""

from __future__ import annotations

from llvmlite import ir

from data_loading.kernel.jit import intrinsic


@intrinsic
def floor(typing, a):
    """The largest integer that is not greater than a, per lane, as float32."""

    def code(context, builder, signature, arguments):
        name, kind = f"llvm.floor.v{a.lanes}f32", ir.FunctionType(a.ir, [a.ir])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return a(a), code
