"""Methods: one file per paper. A file added here with `@register` in it is a new method; nothing else is edited."""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from massrl.methods.base import METHODS, Method, Needs, register  # noqa: E402
from massrl.methods.checkpoints import load  # noqa: E402

__all__ = ["METHODS", "Method", "Needs", "list_methods", "load", "register"]
__all__.extend(METHODS)


def list_methods() -> list[str]:
    """The names of all methods, sorted; those of one's own that are registered are among them."""
    return list(METHODS)


def __getattr__(name: str):
    if name in METHODS:
        return METHODS[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
