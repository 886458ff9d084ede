"""Code of the user's own that a file names: it is run only where the user has chosen it.

A checkpoint or an export names the module of its method. Importing a module runs it, and the file may come from
somebody else, together with a module of that name in the current folder. So a module that a file names is taken only if
it is imported already, as by the script that calls massrl or by `--import`, or is installed among Python's packages.
"""

from __future__ import annotations

import site
import sys
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data_loading.errors import CheckpointError, ConfigError

OPTION = "--import"


def check_chosen(module: str, said: str) -> None:
    """Raise CheckpointError unless the user has chosen `module`; nothing is imported. said: who names it, in words.

    A module that cannot be found passes: importing it fails.
    """
    top = module.partition(".")[0]
    if top in sys.modules:
        return
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is None or _is_installed(spec):
        return
    file = spec.origin if spec.has_location else None
    where = f"a file in {Path(file).parent}" if file else "a folder or a part of Python"
    raise CheckpointError(
        f"{said}, and {top} is not an installed package but {where}, whose code would run; if you trust it, "
        f"say so: {OPTION} {top} on the command line, or import {top} in Python before"
    )


def check_class_paths(described: Any, said: str) -> None:
    """`check_chosen` of the modules of all import paths in plain values, as a view set has them under class_path."""
    for path in _class_paths(described):
        if "." in path:
            check_chosen(path, f"{said} {path}")


def import_named(argv: list[str]) -> list[str]:
    """Import what `--import MODULE` names, as often as it is given, and return the other words."""
    rest, words = [], iter(argv)
    for word in words:
        name, given, value = word.partition("=")
        if name != OPTION:
            rest.append(word)
            continue
        module = value if given else next(words, "")
        if module.endswith(".py") or not all(part.isidentifier() for part in module.split(".")):
            raise ConfigError(f"{OPTION} is {module!r}; give the name of a module, as my_method for my_method.py")
        _import(module)
    return rest


def _import(module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        its_own = module.startswith(error.name or "")
        where = "; it is looked for in the current folder and on PYTHONPATH" if its_own else ""
        raise ConfigError(f"{OPTION} {module}: there is no module {error.name}{where}") from error
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        raise ConfigError(f"{OPTION} {module}: cannot be imported: {type(error).__name__}: {error}") from error


def _is_installed(spec: ModuleSpec) -> bool:
    """Whether all of a module lies in the folders into which packages are installed."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    folders += [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    installed = [Path(folder).resolve() for folder in folders]
    places = list(spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else []))
    found = [Path(place).resolve() for place in places]
    return bool(found) and all(any(one.is_relative_to(folder) for folder in installed) for one in found)


def _class_paths(described: Any) -> Iterator[str]:
    if isinstance(described, dict):
        if isinstance(path := described.get("class_path"), str):
            yield path
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _class_paths(part)
