"""timm, imported without wandb: importing timm imports timm.utils, which imports wandb wherever it is installed.

wandb takes a second to import, and a process that is killed afterwards leaves its folders in the system's folder of
temporary files. No part of timm that is used here logs to it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


def import_timm(name: str = "timm") -> ModuleType:
    """The module `timm`, or one within it as "timm.optim". Also timm alone takes seconds, so call it in functions."""
    if "timm" in sys.modules:
        return import_module(name)
    with without("wandb"):
        return import_module(name)


@contextmanager
def without(package: str) -> Iterator[None]:
    """Importing `package` raises ImportError meanwhile, as where it is not installed; one that is imported stays.

    None in sys.modules is Python's own word for that. timm has no setting for it, and no part of timm can be imported
    without timm/__init__.py, which imports everything.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as the import system's reference has it
    try:
        yield
    finally:
        sys.modules.pop(package, None)
