"""What was measured, as text."""

from __future__ import annotations

from collections.abc import Sequence

from massrl.bench.conformance import Row, number
from massrl.evaluation.table import aligned


def conformance(rows: Sequence[Row]) -> str:
    """A line a case: largest differences, in brackets relative to the largest entry of what was expected."""
    head = ["largest difference", "value", "gradient", "two processes"]
    cells = [[r.name, *(number(gap) for gap in (r.value, r.gradient, r.processes))] for r in rows]
    return aligned([head, *cells])
