"""jsonargparse's messages taken apart: which value is wrong, under which keys, and what was expected there.

jsonargparse 4 hands out text, not data: its exceptions hold one string each, and for a union of types only the last
branch keeps its exception. So the tree of lines that it writes about a wrong value is read here, and nowhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["nested option", "option of group", "option", "class", "type", "other"]

# The lines of the tree that lead to others ...
KEY = re.compile(r'^Parser key "(?P<key>[^"]+)":\s*(?P<rest>.*)$')
CLASS = re.compile(r"^Problem with given class_path '(?P<path>[^']+)':")
SUBTYPES = re.compile(r"^Subtypes: \[(?P<types>.*)\]$")
GIVEN = re.compile(r"^Given value: (?P<value>.*)$", re.S)
NOISE = re.compile(
    r"^(Errors:$|Given value type: |Does not validate against any|Expected an? path but|Subclass types expect one of:"
    r"|a class path \(str\)|a dict with(out)? (class_path|parameters) )"
)
# ... and those at its ends, each with the kind of mistake that it tells.
ENDS: tuple[tuple[Kind, re.Pattern], ...] = (
    ("nested option", re.compile(r"^unrecognized arguments: --(?P<name>[^=]+)=")),
    ("option of group", re.compile(r"^Group '(?P<group>[^']+)' does not accept option '(?P<name>[^']+)'$")),
    ("option of group", re.compile(r"^Option '(?P<group>[^'.]+)\.(?P<name>[^']+)' is not accepted$")),
    ("option", re.compile(r"^Option '(?P<name>[^']+)' is not accepted$")),
    ("class", re.compile(r"^Expected a dot import path string: (?P<name>.+)$")),
    ("type", re.compile(r"^Not a valid subclass of (?P<type>\w+)$")),
    ("type", re.compile(r"^Expected an? (?P<type>.+?)(?:\. Got value: (?P<value>.*))?$")),
)


@dataclass
class Mistake:
    """One wrong value of a setting.

    kind: "option", there is none of this `name`; "option of group", none in `group`; "nested option", none of this
    dotted name on the command line; "class", none of this `name`; "type", `given` is of none of the types `expected`;
    "other", anything else, in jsonargparse's own words.
    keys: the way to the value, as ["model", "ops"].  cls, base: import paths of the class that has the argument, and of
    the one that its value should be of, where there are such.  text: the line itself.
    """

    kind: Kind
    text: str
    keys: list[str]
    cls: str | None = None
    base: str | None = None
    name: str = ""
    group: str = ""
    expected: list[str] = field(default_factory=list)
    given: str | None = None
    indent: int = 0
    union: int | None = None  # number of the line that closes the union of types it belongs to


@dataclass
class Branch:
    """A line that leads to others, which stand further right."""

    indent: int
    kind: Literal["key", "class", "base"]
    value: str


def read(message: str) -> Mistake | None:
    """The one mistake that a message is best told by: the most definite, then the deepest, then the first."""
    found = _ends(message)
    if not found:
        return None
    best = max(found, key=_weight)
    if best.kind == "type":  # what the other branches of its union would take, too
        others = [m for m in found if (m.kind, m.indent, m.union) == ("type", best.indent, best.union)]
        best.expected = [name for other in others for name in other.expected]
    return best


def _ends(message: str) -> list[Mistake]:
    """Every end of the tree of lines, with the way to it."""
    way: list[Branch] = []
    found: list[Mistake] = []
    for number, (indent, text) in enumerate(_lines(message)):
        _step_back(way, indent)
        if match := KEY.match(text):
            way.append(Branch(indent, "key", match["key"]))
            indent, text = indent + 1, match["rest"]
        if branch := _branch(indent, text):
            way.append(branch)
        elif match := GIVEN.match(text):
            _close(found, indent, number, match["value"])
        elif text and not NOISE.match(text) and not SUBTYPES.match(text):
            found.append(_end(indent, text, way))
    return found


def _lines(message: str) -> list[tuple[int, str]]:
    """(indentation, text) of each line; the dash of a list counts as indentation."""
    lines = []
    for raw in message.splitlines():
        text = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        lines.append((indent + 1, text[2:]) if text.startswith("- ") else (indent, text))
    return [(indent, text) for indent, text in lines if text]


def _step_back(way: list[Branch], indent: int) -> None:
    """Leave the branches that a line of this indentation no longer belongs to."""
    while way and (way[-1].indent > indent or (way[-1].indent == indent and way[-1].kind != "base")):
        way.pop()


def _branch(indent: int, text: str) -> Branch | None:
    if match := CLASS.match(text):
        return Branch(indent, "class", match["path"])
    if (match := SUBTYPES.match(text)) and (first := re.search(r"<class '([\w.]+)'>", match["types"])):
        return Branch(indent, "base", first[1])
    return None


def _close(found: list[Mistake], indent: int, number: int, value: str) -> None:
    """The value that a union of types got stands below its branches, further left."""
    for mistake in found:
        if mistake.union is None and indent < mistake.indent:
            mistake.union = number
            mistake.given = value if mistake.given is None else mistake.given


def _end(indent: int, text: str, way: list[Branch]) -> Mistake:
    def last(kind: str) -> str | None:
        return next((branch.value for branch in reversed(way) if branch.kind == kind), None)

    keys = [part for branch in way if branch.kind == "key" for part in branch.value.split(".")]
    mistake = Mistake("other", text, keys, last("class"), last("base"), indent=indent)
    for kind, pattern in ENDS:
        if match := pattern.match(text):
            parts = match.groupdict()
            mistake.kind, mistake.given = kind, parts.get("value")
            mistake.name, mistake.group = parts.get("name", ""), parts.get("group", "")
            mistake.expected = [_plain(parts["type"])] if "type" in parts else []
            break
    return mistake


def _weight(mistake: Mistake) -> tuple[int, int]:
    """A wrong name tells more than a wrong type, and both more than that a value is not null."""
    if mistake.kind in ("option of group", "option", "class"):
        return 2, mistake.indent
    only_null = mistake.kind == "type" and mistake.expected == ["null"]
    return int(not only_null), mistake.indent


def _plain(text: str) -> str:
    """<class 'int'> -> int."""
    match = re.match(r"<class '(?:[\w]+\.)*(\w+)'>", text)
    return {"NoneType": "null"}.get(match[1], match[1]) if match else text.strip(" .")
