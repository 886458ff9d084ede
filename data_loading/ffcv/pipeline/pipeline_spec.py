"""PipelineSpec: a pipeline under a name of its own, as stock FFCV draws several views of a field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class PipelineSpec:
    """source: a field of the file.  decoder: None takes the first transform, or the field's default one."""

    source: str
    decoder: Any = None
    transforms: Sequence[Any] | None = None

    def operations(self) -> list[Any]:
        operations = list(self.transforms or [])
        return operations if self.decoder is None else [self.decoder, *operations]
