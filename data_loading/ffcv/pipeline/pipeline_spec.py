"""PipelineSpec: a pipeline that reads another field than its name says, for several views of one field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class PipelineSpec:
    """A pipeline of operations on one field.

    source: name of the field in the file.  decoder: None takes the first of `transforms`, else the field's default.
    """

    source: str
    decoder: Any = None
    transforms: Sequence[Any] | None = None

    def operations(self) -> list[Any]:
        """The decoder, if one is given, and the transforms."""
        operations = list(self.transforms or [])
        return operations if self.decoder is None else [self.decoder, *operations]
