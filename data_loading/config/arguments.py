"""Remember the arguments of a constructor: for a config, a checkpoint, a repr or a changed copy of the object."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class Remembers:
    """`self.given` holds the constructor's arguments by name, as they were given, without defaults.

    The signature is that of the object's own class, so the arguments of a subclass, **kwargs included, are all there.
    A copy or an unpickled object has the arguments of its original.
    """

    given: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        try:
            self.given = given_to(cls.__init__, self, *args, **kwargs)
        except TypeError:  # wrong arguments, which __init__ reports; or none, for a copy, which gets its original's
            return self
        self.given.pop("self", None)
        return self


def given_to(function: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments of the call function(*args, **kwargs) by name; TypeError where they do not fit its signature."""
    signature = inspect.signature(function)
    found = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= found.pop(name, {})
    return found


def with_defaults(function: Callable, given: dict[str, Any]) -> dict[str, Any]:
    """The function's defaults, in the signature's order, replaced by and followed by the arguments in `given`."""
    parameters = inspect.signature(function).parameters.values()
    return {**{p.name: p.default for p in parameters if p.default is not p.empty}, **given}
