"""Whether values that were read from a file have the form that they are used in.

A shape is a type or a union of them; [shape] for a list of any length; (shape, shape) for one or the other; or a
mapping: name -> shape of a value that may be missing, "name!" -> of one that may not, and ANY -> of every other value.
"""

from __future__ import annotations

from typing import Any

ANY = "*"
NUMBER = int | float


def misfit(value: Any, shape: Any, where: str = "") -> str | None:
    """In words, the first place at which `value` has another shape; None where it fits."""
    if isinstance(shape, tuple):
        found = [misfit(value, one, where) for one in shape]
        return found[0] if all(found) else None
    if isinstance(shape, dict):
        return _of_mapping(value, shape, where)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where or 'it'} is {_kind(value)}, not a list"
        return next(filter(None, (misfit(one, shape[0], f"{where}[{i}]") for i, one in enumerate(value))), None)
    if not isinstance(value, shape) or (isinstance(value, bool) and shape == NUMBER):
        return f"{where or 'it'} is {_kind(value)}, not {_name(shape)}"
    return None


def _of_mapping(value: Any, shape: dict[str, Any], where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{where or 'it'} is {_kind(value)}, not a mapping"
    known = {name.rstrip("!"): inner for name, inner in shape.items() if name != ANY}
    missing = next((name[:-1] for name in shape if name.endswith("!") and name[:-1] not in value), None)
    if missing:
        return f"{where or 'it'} has no {missing}"
    for name, one in value.items():
        inner = known.get(name, shape.get(ANY, object))
        if found := misfit(one, inner, f"{where}.{name}" if where else str(name)):
            return found
    return None


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", type(None): "empty"}
    return names.get(type(value), f"{value!r:.40}")


def _name(shape: Any) -> str:
    names = {str: "a text", dict: "a mapping", int: "an integer", NUMBER: "a number", NUMBER | None: "a number"}
    return names.get(shape, "a value of this kind")
