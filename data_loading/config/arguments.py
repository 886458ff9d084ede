"""Remember the arguments that an object was made with: for its config, its checkpoint, its repr or a changed copy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class Remembers:
    """`self.given` holds the constructor's arguments by name, as they were given; defaults are not among them.

    The signature read is that of the class that is made, so a subclass's own arguments and those that it passes on as
    **kwargs are all there. A copy or an unpickled object keeps its original's.
    """

    given: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any):
        self = super().__new__(cls)
        try:
            self.given = given_to(cls.__init__, self, *args, **kwargs)
        except TypeError:  # wrong arguments: __init__ says it better; none at all: a copy is filled from its original
            return self
        self.given.pop("self", None)
        return self


def given_to(function: Callable, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name, those of **kwargs among them."""
    signature = inspect.signature(function)
    found = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= found.pop(name, {})
    return found


def with_defaults(function: Callable, given: dict[str, Any]) -> dict[str, Any]:
    """`given`, and before it the defaults of the function's own arguments that it lacks, in the signature's order."""
    parameters = inspect.signature(function).parameters.values()
    return {**{p.name: p.default for p in parameters if p.default is not p.empty}, **given}
