"""Reader with FFCV's attributes: which fields and how many samples a .beton file holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_loading import sources
from data_loading.beton.reader import Reader as _Reader


class Reader:
    """FFCV's num_samples, field_names and handlers (name -> Field); all else is data_loading.Reader's.

    BetonError for a file that is not whole.
    """

    def __init__(self, fname: str | Path | Sequence[str | Path] | _Reader):
        self._reader = fname if isinstance(fname, _Reader) else _Reader(sources.as_beton(fname))
        self.num_samples, self.handlers = len(self._reader), self._reader.fields
        self.field_names = list(self._reader.fields)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
