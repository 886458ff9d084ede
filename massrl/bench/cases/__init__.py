"""Cases: every loss with a slow, independent reference of its equation. One file per loss, loaded by name."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from massrl.bench.cases.base import CASES, SIZES, Case  # noqa: E402

__all__ = ["CASES", "SIZES", "Case"]
