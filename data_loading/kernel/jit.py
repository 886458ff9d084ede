"""`jit`: numba.njit that releases the GIL, with a disk cache keyed by the content of every kernel file.

numba's own cache does not notice a change of a callee in another file and keeps using the old machine code (numba issue
1833). Here, each hash of all kernel sources has its own cache folder, below `NUMBA_CACHE_DIR`, else
`$XDG_CACHE_HOME/massrl/numba`, else `~/.cache/massrl/numba`. Without a writable folder, kernels are compiled in each
process; damaged files are replaced (disk_cache.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
import numba.extending
import numpy as np
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.sigutils import normalize_signature

from data_loading.kernel.disk_cache import DiskCache

# Files, relative to the package, that define compiled functions or the types of their arguments: the cache key.
KERNELS = ("kernel/*.py", "kernel/simd/*.py", "ops/*.py", "loading/order.py", "views/sampling.py", "render/*.py")


# For kernels to pass instead of the literals 0, False and True, for which numba would compile the callee once more.
ZERO, NO, YES = np.int64(0), np.bool_(False), np.bool_(True)

# numba's decorator. Its own hint would have kernels pass the implementation's arguments, of which the first is numba's.
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.extending.intrinsic


def _sources() -> list[Path]:
    """The files whose content is the cache key, sorted."""
    package = Path(__file__).parents[1]
    return sorted(path for pattern in KERNELS for path in package.glob(pattern))


def cache_root() -> Path:
    """The folder of all versions of the kernels."""
    base = os.environ.get("NUMBA_CACHE_DIR")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "massrl" / "numba"


@cache
def cache_folder() -> str | None:
    """The cache folder of this version of the kernels, created if needed; None if it is not writable."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(str(package).encode())  # one folder per checkout: numba caches them separately
    for path in _sources():
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    folder = cache_root() / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return str(folder) if os.access(folder, os.W_OK) else None


def jit(function=None, *, inline: bool = False, borrow: bool = False):
    """Decorator: compile with numba.njit, without the GIL, with C's division (no ZeroDivisionError), cached on disk.

    inline: inline the function into its caller; for functions with one caller, so that they are optimised only once.
    borrow: keep no reference counts of arrays, for a function that makes none (nor do those that are inlined into it).
    By default numba increments and decrements a count, atomically, whenever an array is taken from a named tuple.
    """
    if function is None:
        return partial(jit, inline=inline, borrow=borrow)
    folder = cache_folder()
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""
    try:  # numba reads CACHE_DIR when the decorator runs
        # No fastmath: if LLVM may reorder or fuse operations, the last bit depends on inlining, and kernels loaded from
        # the cache could render other pixels than freshly compiled ones.
        how = {"inline": "always" if inline else "never"} | ({"_nrt": False} if borrow else {})
        dispatcher = numba.njit(function, nogil=True, error_model="numpy", **how)
        _keep_on_disk(dispatcher, function, folder)
        return _at_level_1(dispatcher)
    finally:
        numba.config.CACHE_DIR = before


def cached_cfunc(function, signature):
    """Compile `function` to a numba.cfunc, cached on disk like `jit`'s; its `.address` is the function pointer.

    signature: a numba signature, for example types.void(types.float32[:, :]).
    """
    folder = cache_folder()
    with global_compiler_lock:  # CACHE_DIR and OPT are global to numba
        before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, folder or ""
        level, numba.config.OPT = numba.config.OPT, type(numba.config.OPT)(1)
        try:
            compiled = CFunc(function, normalize_signature(signature), {}, {"error_model": "numpy"})
            _keep_on_disk(compiled, function, folder)
            compiled.compile()
            return compiled
        finally:
            numba.config.CACHE_DIR, numba.config.OPT = before, level


def _keep_on_disk(compiled: Any, function: Any, folder: str | None) -> None:
    """Give numba's object for a function our cache in place of none."""
    if folder is not None and not numba.config.DISABLE_JIT:
        with suppress(RuntimeError):  # no file can be made there: compiled in each process
            compiled._cache = DiskCache(function)


def _at_level_1(dispatcher):
    """Make `dispatcher` compile at LLVM's optimisation level 1, and return it.

    numba's default level 3 takes 1.6 times as long to compile, and no view set is rendered faster: kernels use explicit
    SIMD and inlining. The level is a global setting of numba; it is restored before another thread can compile.
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
    """True if the disk cache has no renderer of this version, so that the first batch will wait for it.

    Smaller kernels are there before a loader asks.
    """
    folder = cache_folder()
    return folder is None or not any(Path(folder).rglob("numba_renderer.render-*.nbi"))
