"""A user's own op: one class in one file, compiled by numba and called by its address, as whole_image.py does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numba
import numpy as np
from numba import types

from data_loading.errors import ViewError
from data_loading.kernel.jit import intrinsic, jit
from data_loading.kernel.rng import STATE
from data_loading.ops.base import PARAMS, Op
from data_loading.ops.step import ARGS, OWN, OWN_MOST, STEPS, step
from data_loading.ops.whole_image import KERNEL, LOCK, call_at

OWN_OPS: list[type[OwnOp]] = []  # by code, from OWN on

_f32, _f64, _u32 = types.CPointer(types.float32), types.CPointer(types.float64), types.CPointer(types.uint32)
DRAW = types.void(_f64, _u32, _f32, _u32)  # params, state, arg, word


class OwnOp(Op):
    """The base class of ops defined by users; docs/own_ops.md has a complete example.

    A subclass gives `numbers`, the names of the numbers that it samples (at most ARGS), and two static methods that
    numba compiles; ViewError for a subclass without them:

    draw(params, state, arg, word): sample the numbers, each by `uniform(state, low, high)` of data_loading.rng, and
        write them into arg[0], arg[1], ...
    kernel(image, scratch, arg, word): change `image` in place.

    params (PARAMS,) float64: what `params()` returns.  arg (ARGS,) float32: the numbers; word: their bits as uint32.
    image (3, H, W) float32 in 0..255; scratch: memory of that shape.
    """

    numbers: tuple[str, ...] = ()
    draw: ClassVar[Callable[..., None]]
    kernel: ClassVar[Callable[..., None]]
    _compiled: ClassVar[tuple[Any, Any]]  # numba's functions
    _addresses: ClassVar[tuple[int, int] | None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, wanted in (("draw", 4), ("kernel", 4)):
            function = getattr(cls, name, None)
            if function is None or len(inspect.signature(function).parameters) != wanted:
                what = "draw(params, state, arg, word)" if name == "draw" else "kernel(image, scratch, arg, word)"
                raise ViewError(f"{cls.__name__}: an own op needs a static method {what}")
        if len(cls.numbers) > ARGS:
            raise ViewError(f"{cls.__name__}: numbers has {len(cls.numbers)} names; an op samples at most {ARGS}")
        name = cls.__name__.lower()
        if any(name == known.name for known in STEPS.values() if known.code < OWN):
            raise ViewError(f"{cls.__name__}: a plan would call its step {name!r}, as one of this package; rename it")
        if len(OWN_OPS) == OWN_MOST:
            raise ViewError(f"{cls.__name__}: a process takes {OWN_MOST} definitions of own ops; restart it")
        cls.rule, cls._addresses = OWN + len(OWN_OPS), None  # a class defined again, as in a notebook, gets a new code
        OWN_OPS.append(cls)
        step(cls.rule, name, tuple(cls.numbers))

    @classmethod
    def addresses(cls) -> tuple[int, int]:
        """The addresses of the compiled `draw` and `kernel`, kept alive here; ViewError if one does not compile."""
        with LOCK:
            if cls._addresses is None:
                try:
                    cls._compiled = _compile_draw(cls.draw), _compile_kernel(cls.kernel)
                except Exception as error:  # numba does not wrap the error of a wrong attribute or constant
                    cause = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
                    raise ViewError(f"{cls.__name__}: draw or kernel does not compile: {cause}") from error
                cls._addresses = cls._compiled[0].address, cls._compiled[1].address
            return cls._addresses

    def kernel_address(self) -> int:
        return self.addresses()[1]


def _compile_draw(function):
    inner = numba.njit(function, error_model="numpy")

    def draw(params, state, arg, word):
        inner(
            numba.carray(params, (PARAMS,)), numba.carray(state, (STATE,)),
            numba.carray(arg, (ARGS,)), numba.carray(word, (ARGS,)),
        )  # fmt: skip

    return numba.cfunc(DRAW)(draw)


def _compile_kernel(function):
    inner = numba.njit(function, error_model="numpy")

    def kernel(image, scratch, height, width, arg, word, small):
        shape = (3, height, width)
        inner(
            numba.carray(image, shape), numba.carray(scratch, shape),
            numba.carray(arg, (ARGS,)), numba.carray(word, (ARGS,)),
        )  # fmt: skip

    return numba.cfunc(KERNEL)(kernel)


def table(used: Iterable[Op]) -> np.ndarray:
    """The addresses of the compiled `draw` of the own ops among `used`, by code - OWN, else 0: (n,) int64, n >= 1."""
    out = np.zeros(max(len(OWN_OPS), 1), np.int64)
    for op in used:
        if isinstance(op, OwnOp):
            out[op.rule - OWN] = op.addresses()[0]
    return out


@intrinsic
def call_draw(typing, address, params, state, arg, word):
    """Call a user's compiled `draw` by its address; params (PARAMS,) float64, state (STATE,), arg and word (ARGS,)."""

    def code(context, builder, signature, arguments):
        arrays = zip(signature.args[1:], arguments[1:], strict=True)
        call_at(builder, arguments[0], [context.make_array(kind)(context, builder, a).data for kind, a in arrays])
        return context.get_dummy_value()

    return types.void(address, params, state, arg, word), code


@jit
def draw(table, rule, params, state, op, arg, word, n):
    """Sample the numbers of a user's own op and write them as step n -> n + 1; table: of `table`."""
    op[n] = rule
    call_draw(table[rule - OWN], params, state, arg[n], word[n])
    return n + 1


def reference(code: int, image: np.ndarray, word: np.ndarray) -> np.ndarray:
    """Run a user's kernel in Python: image (3, H, W) in 0..255, word (ARGS,) uint32 -> (3, H, W) float32 in 0..255."""
    out = np.ascontiguousarray(image, np.float32)
    OWN_OPS[code - OWN].kernel(out, np.empty_like(out), word.view(np.float32), word)
    return np.nan_to_num(out, nan=0.0).clip(0, 255)
