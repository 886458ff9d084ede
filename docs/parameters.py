"""An extension of griffe, which reads docstrings for the reference: "name: meaning" lines become a list.

The docstrings of data_loading name arguments so, each at the beginning of a line, the rest of it on the lines below.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

NAMED = re.compile(r"^(?P<names>[a-z_]\w*(?:, [a-z_]\w*)*): +(?P<meaning>\S.*)$")


class Parameters(griffe.Extension):
    """Lists what a docstring says of the arguments of a function, or of those that a class is made with."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None and (obj.is_function or obj.is_class):
            known = _parameters(obj)
            parts = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(_listed(part, known) for part in parts)


def _parameters(obj: griffe.Object) -> set[str]:
    maker = obj.members.get("__init__") if obj.is_class else obj
    found = {parameter.name for parameter in getattr(maker, "parameters", [])}
    return found | {name for name, member in obj.members.items() if member.is_attribute}  # of a dataclass


def _listed(part: str, known: set[str]) -> str:
    """A paragraph, with each "name: meaning" of an argument as an item of a list."""
    lines, inside = [], False
    for line in part.split("\n"):
        match = NAMED.match(line)
        if match and match["names"].split(", ")[0] in known:
            lines += [""] if lines and not inside else []
            names = ", ".join(f"`{name}`" for name in match["names"].split(", "))
            lines.append(f"- {names}: {match['meaning']}")
            inside = True
        else:
            lines.append(f"    {line.strip()}" if inside else line)
    return "\n".join(lines)
