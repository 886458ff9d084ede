"""Bus error: a mapped file that is cut short while it is read ends the process with a line in place of a crash."""

from __future__ import annotations

import ctypes
import signal
from functools import cache

import numba
import numpy as np
from numba import types

from data_loading.kernel.jit import cached_cfunc

LINE = np.frombuffer(
    b"massrl: error: a .beton file was cut short, or its disk failed, while it was read (SIGBUS); put it back and "
    b"start again: a run goes on from its newest checkpoint\n",
    np.uint8,
)
CODE = 2  # exit code of an error that the user can put right
_write = types.ExternalFunction("write", types.intp(types.int32, types.uintp, types.uintp))
_dup = types.ExternalFunction("dup", types.int32(types.int32))
_close = types.ExternalFunction("close", types.int32(types.int32))
_pause = types.ExternalFunction("pause", types.int32())
_exit = types.ExternalFunction("_exit", types.void(types.int32))


def _say_and_end(number):
    # Only calls that POSIX allows in a handler. The line is a constant of the machine code. Of several threads that
    # meet a fault the one that closes the error output has the word; the others wait for the end.
    out = _dup(types.int32(2))
    if _close(types.int32(2)) != 0:
        _pause()
    _write(out, types.uintp(LINE.ctypes.data), types.uintp(LINE.size))
    _exit(types.int32(CODE))


@cache
def answer_bus_errors() -> None:
    """Handle SIGBUS in this process, once, unless somebody else does, as Python's faulthandler.

    The threads of a loader read mapped files in compiled code, where Python's own handlers never get their turn: the
    faulting instruction would be tried again for ever.
    """
    if numba.config.DISABLE_JIT or not hasattr(signal, "SIGBUS"):
        return
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
    _kept.append(handler := cached_cfunc(_say_and_end, types.void(types.int32)))
    before = libc.signal(signal.SIGBUS, handler.address)
    if before:  # 0 is the default, the end of the process
        libc.signal(signal.SIGBUS, before)


_kept: list = []  # machine code that the system may still call
