"""numba's disk cache of a compiled function; a file that is damaged or cannot be written costs a compilation, no more.

numba itself raises what pickle says of a file that was cut short (by a kill, a full disk, a loss of power), each time
again, and an OSError where it cannot write.
"""

from __future__ import annotations

import os
import pickle
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
        """The compiled function for a signature; None, so that it is compiled, where no undamaged one exists."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # damaged bytes unpickle to any error
            _say_damaged(self._folder)
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


def _say_damaged(folder: str) -> None:
    warn_once(
        f"{folder}: compiled kernels there are damaged or cannot be read; they are compiled again, which takes up to "
        "half a minute"
    )


class _CheckedFile(IndexDataCacheFile):
    """numba's index and data files of a function, with a CRC-32 at the end of each, checked before it is unpickled."""

    def _dump(self, obj: Any) -> bytes:
        data = super()._dump(obj)
        return data + zlib.crc32(data).to_bytes(CRC_BYTES, "little")

    def _load_index(self) -> dict[Any, str]:
        """Names of data files by signature; {} for an index that is missing, of another version, or damaged."""
        try:
            with open(self._index_path, "rb") as file:
                version, data = pickle.load(file), file.read()
            if version != self._version:
                return {}
            stamp, names = pickle.loads(_checked(data))
        except FileNotFoundError:
            return {}
        except Exception:
            _say_damaged(os.path.dirname(self._cache_path))
            return {}
        return names if stamp == self._source_stamp else {}

    def _load_data(self, name: str) -> Any:
        with open(self._data_path(name), "rb") as file:
            return pickle.loads(_checked(file.read()))


def _checked(data: bytes) -> bytes:
    """The bytes before the CRC-32 at their end; ValueError where it is of other bytes."""
    content, crc = data[:-CRC_BYTES], data[-CRC_BYTES:]
    if zlib.crc32(content).to_bytes(CRC_BYTES, "little") != crc:
        raise ValueError("the checksum is of other bytes")
    return content
