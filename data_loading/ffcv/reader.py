"""Reader: what is in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_loading import sources
from data_loading.beton.reader import Reader as _Reader


class Reader:
    """What scripts ask of FFCV's: num_samples, field_names, handlers; else data_loading.Reader's."""

    def __init__(self, fname: str | Path | _Reader):
        self._reader = fname if isinstance(fname, _Reader) else _Reader(sources.as_beton(fname))
        self.num_samples, self.handlers = len(self._reader), self._reader.fields
        self.field_names = list(self._reader.fields)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
