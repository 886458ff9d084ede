"""`jit`: numba's njit without the GIL, cached on disk under the hash of every kernel file.

numba's own cache does not notice that a callee in another file has changed, and goes on using the old machine code
(numba issue 1833); a folder per hash of all kernel sources cannot be stale. The folder is `NUMBA_CACHE_DIR`, else
`$XDG_CACHE_HOME/massrl/numba`, else `~/.cache/massrl/numba`; where none can be written, kernels are compiled anew.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache, partial
from pathlib import Path

import numba
import numpy as np
from numba.core.compiler_lock import global_compiler_lock

# Where compiled functions and the types that they take are written, from the package's folder on.
KERNELS = ("kernel/*.py", "kernel/simd/*.py", "ops/*.py", "loading/order.py", "views/sampling.py", "render/*.py")


# In kernels in place of 0 and False as arguments: for a literal numba compiles the callee once more.
ZERO, NO, YES = np.int64(0), np.bool_(False), np.bool_(True)


def _sources() -> list[Path]:
    package = Path(__file__).parents[1]
    return sorted(path for pattern in KERNELS for path in package.glob(pattern))


@cache
def cache_folder() -> str | None:
    """The folder for this version of the kernels, or None where no folder can be written."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(str(package).encode())  # numba keeps the kernels of two checkouts apart
    for path in _sources():
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    base = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "massrl" / "numba"
    folder = root / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def jit(function=None, *, inline: bool = False):
    """Compile `function` to machine code that holds no lock (threads run it side by side) and divides as C does.

    inline: compile it as part of its one caller, which saves the optimiser from going over it twice.
    """
    if function is None:
        return partial(jit, inline=inline)
    folder = cache_folder()
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""
    try:  # the cache's place is chosen while decorating
        # No fastmath: where LLVM may reorder or fuse, the last bit depends on what was inlined where, and a run whose
        # kernels come from the cache would draw other pixels than the one that compiled them.
        how = "always" if inline else "never"
        return _compiled_quickly(
            numba.njit(function, nogil=True, cache=folder is not None, error_model="numpy", inline=how)
        )
    finally:
        numba.config.CACHE_DIR = before


def cached_cfunc(function, signature):
    """`function` compiled as a C function, kept on disk as `jit` keeps its own; `.address` is a pointer to it."""
    folder = cache_folder()
    with global_compiler_lock:  # the settings are numba's global ones
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""
        level, numba.config.OPT = numba.config.OPT, type(numba.config.OPT)(1)
        try:
            return numba.cfunc(signature, cache=folder is not None, error_model="numpy")(function)
        finally:
            numba.config.CACHE_DIR, numba.config.OPT = before, level


def _compiled_quickly(dispatcher):
    """The same, compiled at the optimiser's level 1: kernels say themselves what is SIMD and what is inlined.

    numba's level 3 takes 1.6 times as long, and no view set is drawn faster for it. Levels are numba's global setting,
    which is put back before another thread can compile.
    """
    compile_ = dispatcher.compile

    def compile_at_level_1(signature):
        with global_compiler_lock:
            before, numba.config.OPT = numba.config.OPT, type(numba.config.OPT)(1)
            try:
                return compile_(signature)
            finally:
                numba.config.OPT = before

    dispatcher.compile = compile_at_level_1
    return dispatcher


def is_cold() -> bool:
    """Whether no kernel of this version has been compiled on this machine yet."""
    folder = cache_folder()
    return folder is None or not any(Path(folder).rglob("*.nbi"))
