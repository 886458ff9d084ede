"""numba's disk cache of a compiled function; a file that is damaged or cannot be written costs a compilation, no more.

numba itself raises what pickle says of a file that was cut short (by a kill, a full disk, a loss of power), each time
again, and an OSError where it cannot write.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from typing import Any

from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    UserProvidedCacheLocator,
)

from data_loading.config.once import warn_once

CRC_BYTES = 4


class _InFolder(CompileResultCacheImpl):
    """In numba.config.CACHE_DIR, and not beside the source or elsewhere where no file can be made there."""

    _locator_classes = [UserProvidedCacheLocator]


class DiskCache(FunctionCache):
    """The cache of one function. Machine code is loaded only where its checksum is right."""

    _impl_class = _InFolder

    def __init__(self, function: Any):
        super().__init__(function)
        stamp = self._impl.locator.get_source_stamp()
        self._cache_file = _CheckedFile(self._cache_path, self._impl.filename_base, stamp)

    @property
    def _folder(self) -> str:
        return os.path.dirname(self._cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled function for a signature; None, so that it is compiled, where there is none that is whole."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # damaged bytes unpickle to any error
            warn_once(
                f"{self._folder}: compiled kernels there are damaged or cannot be read; they are compiled again, which "
                "takes up to half a minute"
            )
            with contextlib.suppress(OSError):  # a file that stays is damaged at the next start, too
                os.unlink(self._cache_file._index_path)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write a compiled function, or say that it cannot be kept."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_once(
                f"{self._folder}: compiled kernels cannot be written there ({error.strerror}); each process compiles "
                "its own, which takes up to half a minute; make room, or set NUMBA_CACHE_DIR to another folder"
            )


class _CheckedFile(IndexDataCacheFile):
    """numba's index and data files of a function, each followed by a CRC-32, which unpickling does not look at."""

    def _dump(self, obj: Any) -> bytes:
        data = super()._dump(obj)
        return data + zlib.crc32(data).to_bytes(CRC_BYTES, "little")

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:
            data = file.read()
        if zlib.crc32(data[:-CRC_BYTES]).to_bytes(CRC_BYTES, "little") != data[-CRC_BYTES:]:
            raise ValueError(f"{name} is damaged")
        return super()._load_data(name)
