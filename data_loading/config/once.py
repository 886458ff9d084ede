"""Warnings that are said once in a process, however often their cause occurs."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("data_loading")


@cache
def warn_once(text: str) -> None:
    """Log a warning, unless the same one has been logged."""
    log.warning("%s", text)
