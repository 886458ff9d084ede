"""The report: one self-contained HTML page about a run folder, written by `build(run)`."""

from __future__ import annotations

from pathlib import Path


def build(run: str | Path) -> Path:
    """Write run/report.html and its figures from the files of a run folder; return the path of the page.

    Raises ConfigError when the folder is not a run or one of its files cannot be parsed.
    """
    from massrl.report.page import build as write  # imported here: matplotlib is slow to import

    return write(Path(run))


__all__ = ["build"]
