"""Objects that a config can hold: `class_path` and `init_args`, and back.

A class_path is a registered name (`Solarize`, `randaugment`) or the import path of a user's own class or function.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from data_loading.errors import UnknownName, ViewError
from data_loading.registry import Registry


class Described:
    """Remembers the arguments that it was made with."""

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        try:
            self.given = given_to(cls.__init__, self, *args, **kwargs)
        except TypeError:  # __init__ says it better; a copy is filled from its original
            return self
        del self.given["self"]
        return self


def given_to(function: Callable, *args, **kwargs) -> dict[str, Any]:
    """The arguments of a call by name, those of **kwargs among them."""
    signature = inspect.signature(function)
    found = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found |= found.pop(name, {})
    return found


def describe(thing: Described, registry: Registry) -> dict[str, Any]:
    """{class_path, init_args} of plain values, from which `build` makes an equal object."""
    kind = type(thing)
    out: dict[str, Any] = {"class_path": path_of(kind, registry)}
    if thing.given:
        out["init_args"] = {name: plain(value, registry) for name, value in thing.given.items()}
    return out


def path_of(item: Any, registry: Registry) -> str:
    """The name under which `build` finds a class or function."""
    name = next((name for name, known in registry.items() if known is item), None)
    return name if name is not None and item.__module__.startswith("data_loading.") else dotted(item)


def dotted(item: Any) -> str:
    return f"{item.__module__}.{item.__qualname__}"


def plain(value: Any, registry: Registry) -> Any:
    if isinstance(value, Described):
        return describe(value, registry)
    if isinstance(value, list | tuple):
        return [plain(item, registry) for item in value]
    return value


def build(spec: Any, registry: Registry, kind: type) -> Any:
    """An object of `kind`: itself, or made of a name, or of {class_path, init_args}."""
    if isinstance(spec, kind):
        return spec
    if isinstance(spec, Described):
        raise ViewError(_misplaced(type(spec).__name__, spec, kind))
    if isinstance(spec, str):
        spec = {"class_path": spec}
    if not isinstance(spec, dict) or "class_path" not in spec or set(spec) - {"class_path", "init_args"}:
        raise ViewError(f"{spec!r} is no {registry.kind}; write its name, or {{class_path: NAME, init_args: {{...}}}}")
    path = spec["class_path"]
    made = construct(found(path, registry), spec.get("init_args") or {}, path)
    if not isinstance(made, kind):
        raise ViewError(_misplaced(path, made, kind))
    return made


def construct(make: Callable, arguments: dict[str, Any], label: str) -> Any:
    """make(**arguments); a wrong name is answered with the nearest, and errors begin with `label`."""
    known = argument_names(make)
    for name in arguments:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ViewError(f"{label} has no argument {name!r}.{hint} Known: {', '.join(known) or 'none'}")
    try:
        return make(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise ViewError(f"{label}: {error}") from error


def _misplaced(path: str, made: Any, kind: type) -> str:
    what = (inspect.getdoc(type(made)) or "").partition("\n")[0]
    return f"{path} is no {kind.__name__}, which is asked for here; {type(made).__name__}: {what}"


def found(path: str, registry: Registry) -> Callable:
    """The class or function of a registered name or an import path."""
    if path in registry or "." not in path:
        return registry[path]
    module, _, name = path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UnknownName(
            f"class_path {path!r} cannot be imported ({error}); its file must lie in this folder or on PYTHONPATH"
        ) from error


def argument_names(make: Callable) -> list[str]:
    """The names that a class or function takes; **common stands for those of the base class."""
    names: list[str] = []
    for owner in [c.__init__ for c in make.__mro__ if "__init__" in vars(c)] if inspect.isclass(make) else [make]:
        parameters = inspect.signature(owner).parameters
        names += [n for n, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD and n != "self"]
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return [n for n in dict.fromkeys(names) if n not in ("args", "kwargs")]
