"""The report: one self-contained HTML page from a run folder. `build(run)` writes it and returns its path."""

from __future__ import annotations

from pathlib import Path


def build(run: str | Path) -> Path:
    """Write run/report.html from what the run folder holds; raises ConfigError where that is no run."""
    from massrl.report.page import build as write  # matplotlib is heavy: only when a page is asked for

    return write(Path(run))


__all__ = ["build"]
