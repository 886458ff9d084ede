"""Text tables: rows of words in columns, and numbers as short words."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equally many words as lines of text, every column left-aligned, two spaces apart."""
    widths = _widths(rows)
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def ruled(rows: Sequence[Sequence[str]]) -> str:
    """As `aligned`, but with all columns except the first right-aligned, and a rule below the first row, the head."""
    widths = _widths(rows)
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join(line.rstrip() for line in (lines[0], "-" * len(lines[0]), *lines[1:]))


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The longest word of each column, in characters; ValueError if rows differ in length."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def short(value: float) -> str:
    """A number with three digits and without an exponent; from 100 on rounded to an integer."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
