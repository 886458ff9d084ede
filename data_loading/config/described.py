"""Objects that a config can hold: `class_path` and `init_args`, and back.

A class_path is a registered name (`Solarize`, `randaugment`) or the import path of a user's own class or function.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from data_loading.config.arguments import Remembers
from data_loading.config.registry import Registry
from data_loading.errors import UnknownName, ViewError, near_miss


class Described(Remembers):
    """Base of objects that a config holds as {class_path, init_args}: they remember their constructor's arguments."""

    def __repr__(self) -> str:
        given = vars(self).get("given", {})
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def describe(thing: Described, registry: Registry) -> dict[str, Any]:
    """{class_path, init_args} of plain values, from which `build` makes an equal object."""
    kind = type(thing)
    out: dict[str, Any] = {"class_path": path_of(kind, registry)}
    if thing.given:
        out["init_args"] = {name: plain(value, registry) for name, value in thing.given.items()}
    return out


def path_of(item: Any, registry: Registry) -> str:
    """The name by which `build` finds a class or function: its registered name, for a user's own its import path."""
    name = next((name for name, known in registry.items() if known is item), None)
    return name if name is not None and item.__module__.startswith("data_loading.") else dotted(item)


def dotted(item: Any) -> str:
    """The import path of a class or function, as "package.module.Name"."""
    return f"{item.__module__}.{item.__qualname__}"


def plain(value: Any, registry: Registry) -> Any:
    """`value` as a config can hold it: objects as `describe` gives them, tuples and NumPy arrays as lists."""
    if isinstance(value, Described):
        return describe(value, registry)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {plain(key, registry): plain(item, registry) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, registry) for item in value]
    return value


def build(spec: Any, registry: Registry, kind: type) -> Any:
    """An object of `kind`, made of a name or {class_path, init_args}; an object of `kind` is returned as it is.

    UnknownName for a name that nothing has, ViewError for anything else that makes no object of `kind`.
    """
    if isinstance(spec, kind):
        return spec
    if isinstance(spec, Described):
        raise ViewError(_misplaced(type(spec).__name__, type(spec), kind))
    if isinstance(spec, str):
        spec = {"class_path": spec}
    if not isinstance(spec, dict) or "class_path" not in spec or set(spec) - {"class_path", "init_args"}:
        raise ViewError(f"{spec!r} is no {registry.kind}; write its name, or {{class_path: NAME, init_args: {{...}}}}")
    path, arguments = spec["class_path"], spec.get("init_args")
    if not isinstance(path, str):
        raise ViewError(f"class_path is {path!r}; write the name of one {registry.kind}, or its import path")
    make = found(path, registry)
    if not _promises(make, registry, kind):  # before it is called: a config must not run just any function
        raise ViewError(_misplaced(path, make, kind))
    made = construct(make, {} if arguments is None else arguments, path)
    if not isinstance(made, kind):
        raise ViewError(_misplaced(path, type(made), kind))
    return made


def _promises(make: Callable, registry: Registry, kind: type) -> bool:
    """Whether `make` is a subclass of `kind`, a registered function, or a function annotated to return `kind`."""
    if inspect.isclass(make):
        return issubclass(make, kind)
    returns = getattr(make, "__annotations__", {}).get("return")
    return returns in (kind, kind.__name__) or any(make is known for _, known in registry.items())


def construct(make: Callable, arguments: dict[str, Any], label: str) -> Any:
    """make(**arguments). ViewError, which begins with `label`, for a wrong name (with the nearest one) or value."""
    if not isinstance(arguments, dict):
        raise ViewError(f"{label}: its arguments are {arguments!r}; write them by name, as {{name: value}}")
    try:
        known = argument_names(make)
        for name in arguments:
            if name not in known:
                hint = near_miss(name, known)
                raise ViewError(f"{label} has no argument {name!r}.{hint} Known: {', '.join(known) or 'none'}")
        return make(**arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise ViewError(f"{label}: {error}") from error


def _misplaced(path: str, item: Any, kind: type) -> str:
    what = (inspect.getdoc(item) or "").partition("\n")[0]
    if not inspect.isclass(item):
        what += f" (a function must be registered, or annotated to return {kind.__name__})"
    return f"{path} is no {kind.__name__}, which is asked for here; {item.__name__}: {what}"


def found(path: str, registry: Registry) -> Callable:
    """The class or function of a registered name or an import path; UnknownName or ViewError where there is none."""
    if path in registry or "." not in path:
        return registry[path]
    module, _, name = path.rpartition(".")
    try:
        item = getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two of a path like "..x" or ".x"
        raise UnknownName(
            f"class_path {path!r} cannot be imported ({error}); its file must be in this folder or on PYTHONPATH"
        ) from error
    except Exception as error:  # whatever the code of a user's module raises
        raise ViewError(import_failure(repr(path), error)) from error
    if not callable(item):
        raise ViewError(f"class_path {path!r} is no class or function but a {type(item).__name__}")
    return item


def import_failure(what: str, error: Exception) -> str:
    """What a module raised while it was imported, in one line, with the line of the file. what: was to be imported."""
    frames = traceback.extract_tb(error.__traceback__)
    where = (
        "" if isinstance(error, SyntaxError) or not frames else f" ({frames[-1].filename}, line {frames[-1].lineno})"
    )
    text = " ".join(str(error).split())
    return f"{what} cannot be imported: {type(error).__name__}: {text}{where}; correct the file, or leave it out"


def argument_names(make: Callable) -> list[str]:
    """The names of the arguments that a class or function takes; **kwargs of a class stand for its base class's."""
    names: list[str] = []
    for owner in (
        [vars(c)["__init__"] for c in make.__mro__ if "__init__" in vars(c)] if inspect.isclass(make) else [make]
    ):
        parameters = inspect.signature(owner).parameters
        names += [n for n, p in parameters.items() if p.kind is not inspect.Parameter.VAR_KEYWORD and n != "self"]
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return [n for n in dict.fromkeys(names) if n not in ("args", "kwargs")]
