"""jsonargparse's messages, cut to one line: where the wrong word stands, what is wrong, the nearest right one."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, get_args

from jsonargparse import ArgumentParser

from data_loading.errors import near_miss
from massrl.parsing.places import config_files, place

# jsonargparse answers a wrong key in a nested value with a tree of lines; these are its branches ...
KEY = re.compile(r'^Parser key "(?P<key>[^"]+)":\s*(?P<rest>.*)$')
CLASS = re.compile(r"^Problem with given class_path '(?P<path>[^']+)':")
SUBTYPES = re.compile(r"^Subtypes: \[(?P<types>.*)\]$")
GIVEN = re.compile(r"^Given value(?P<type> type)?: (?P<value>.*)$", re.S)
# ... and these its leaves.
GROUP = re.compile(r"^Group '(?P<group>[^']+)' does not accept option '(?P<name>[^']+)'$")
DOTTED = re.compile(r"^Option '(?P<group>[^'.]+)\.(?P<name>[^']+)' is not accepted$")
OPTION = re.compile(r"^Option '(?P<name>[^']+)' is not accepted$")
NO_CLASS = re.compile(r"^Expected a dot import path string: (?P<name>.+)$")
EXPECTED = re.compile(r"^Expected an? (?P<type>.+?)(?:\. Got value: (?P<value>.*))?$")
CHOICE = re.compile(r"invalid choice: '?(?P<name>[^' ]*)'? \(choose from (?P<names>.*)\)$")
NESTED = re.compile(r"^unrecognized arguments: --(?P<name>[^=]+)=")
LITERAL = re.compile(r"^(?:typing\.)?Literal\[(?P<names>.*)\]$")
REQUIRED = re.compile(r"^the following arguments are required: (?P<names>.*)$")


def sentence(parser: ArgumentParser, message: str) -> str:
    """The one line that stands for jsonargparse's message."""
    words = getattr(parser, "words", [])
    if message.startswith("unrecognized arguments: "):
        word = message.removeprefix("unrecognized arguments: ").split()[0]
        name = word.partition("=")[0]
        if not name.startswith("-"):
            return f"{word!r} is one word too many; options are written as --name value"
        return f"no option {name!r}.{near_miss(name, parser._option_string_actions)}"
    if match := REQUIRED.match(message):
        missing = ", ".join(f"--{name}" for name in match["names"].split(", ") if not name.startswith("-"))
        return f"missing: {missing or match['names']}"
    if match := CHOICE.search(message):
        names = [name.strip(" '\"") for name in match["names"].split(",")]
        where = message[: match.start()].removeprefix("argument ").strip(" :")
        return f"{where}: no choice {match['name']!r}.{near_miss(match['name'], names)} Choices: {', '.join(names)}"
    if message.startswith("Problems parsing config: "):
        return f"{', '.join(map(str, config_files(words)))}: not valid YAML: {_flat(message.partition(': ')[2])}"
    return _nested(parser, message, words)


def _nested(parser: ArgumentParser, message: str, words: list[str]) -> str:
    leaf, keys, cls, base, expected, given = _deepest(message)
    if leaf is None:
        return _flat(message)
    key, kind = ".".join(keys), type_name(cls) if cls else None
    if match := NESTED.match(leaf):  # an option of an option, on the command line
        *groups, name = match["name"].split(".")
        prefix = "".join(f"{group}." for group in groups)
        known = _options(cls, prefix) if cls else _known(parser, prefix)
        where, what = place(words, [*keys, *groups, name]), (groups or [kind])[-1]
        return f"{where}{what} has no option {name!r}.{near_miss(name, known)}"
    if match := GROUP.match(leaf) or DOTTED.match(leaf):
        group, name = match["group"], match["name"]
        bases = [load_class(base)] if base else _classes(_annotation(parser, None, keys))
        if cls and any(group in subclasses(one) for one in bases):
            return f"{place(words, [*keys, group])}write {{class_path: {group}, init_args: {{{name}: ...}}}}"
        known = _options(cls, f"{group}.") if cls else _known(parser, f"{group}.")
        if known or cls:
            return f"{place(words, [*keys, group, name])}{group} has no option {name!r}.{near_miss(name, known)}"
        return f"{place(words, [*keys, group])}no option {group!r}.{near_miss(group, _known(parser))}"
    if match := OPTION.match(leaf):
        name = match["name"]
        if cls and name == "class_path":
            return f"{place(words, keys)}the options of {kind} belong under init_args: class_path, init_args: {{...}}"
        known, what = (_options(cls), f"{kind} has no") if cls else (_known(parser), "no")
        return f"{place(words, [*keys, name])}{what} option {name!r}.{near_miss(name, known)}"
    if match := NO_CLASS.match(leaf):
        bases = _classes(_annotation(parser, cls, keys))
        names = {name for one in bases for name in subclasses(one)}
        kind = bases[0].__name__.lower() if bases else "class"
        listed = f" Known: {', '.join(sorted(names))}" if names else ""
        return f"{place(words, keys)}no {kind} named {match['name']!r}.{near_miss(match['name'], names)}{listed}"
    if expected:
        choices = [
            name for text in expected if (m := LITERAL.match(text)) for name in re.findall(r"'([^']+)'", m["names"])
        ]
        if choices:
            hint = near_miss(given, choices)
            return f"{place(words, keys)}no choice {given!r}.{hint} Choices: {', '.join(choices)}"
        return f"{place(words, keys)}expected {' or '.join(expected)}, got {given!r}"
    return f"{place(words, keys) if key else ''}{_flat(leaf)}"


def _deepest(message: str):
    """(leaf line, keys to it, class path, base class path, expected types, given value) of the deepest leaf."""
    stack: list[tuple[int, str, str]] = []  # (indentation, "key" | "class" | "base", value)
    best: tuple = (-1, -1)
    leaf, keys, cls, base = None, [], None, None
    expected: list[str] = []
    given, level = None, -1
    for raw in message.splitlines():
        text = raw.strip()
        indent = len(raw) - len(raw.lstrip())
        if text.startswith("- "):
            text, indent = text[2:], indent + 1
        if not text or text in ("Errors:",) or text.startswith("Does not validate against any"):
            continue
        while stack and stack[-1][0] > indent or (stack and stack[-1][0] == indent and stack[-1][1] != "base"):
            stack.pop()
        if match := KEY.match(text):
            stack.append((indent, "key", match["key"]))
            text, indent = match["rest"], indent + 1
            if not text:
                continue
        if match := CLASS.match(text):
            stack.append((indent, "class", match["path"]))
            continue
        if match := SUBTYPES.match(text):
            first = re.search(r"<class '([\w.]+)'>", match["types"])
            if first:
                stack.append((indent, "base", first[1]))
            continue
        if match := GIVEN.match(text):
            if not match["type"] and indent < level:  # closes the union whose branches were `expected`
                given, level = match["value"] if given is None else given, -1
            continue
        match = EXPECTED.match(text) if not NO_CLASS.match(text) else None
        if match and match["type"].startswith("path but"):  # "--model X" may also name a file, which nobody meant
            continue
        weight = (0 if match and not match["value"] and "NoneType" in match["type"] else 1, indent)
        known = bool(GROUP.match(text) or OPTION.match(text) or NO_CLASS.match(text))
        weight = (weight[0] + known, indent)
        if match and indent == level and expected:
            expected.append(_type(match["type"]))
        elif match and weight > best:
            expected, level, given = [_type(match["type"])], indent, match["value"]
        elif not match and weight > best:
            expected, level, given = [], -1, None
        if weight > best:
            best, leaf = weight, text
            keys = [part for _, kind, value in stack if kind == "key" for part in value.split(".")]
            classes = [value for _, kind, value in stack if kind == "class"]
            bases = [value for _, kind, value in stack if kind == "base"]
            cls, base = (classes or [None])[-1], (bases or [None])[-1]
    return leaf, keys, cls, base, expected, given


def _type(text: str) -> str:
    match = re.match(r"<class '(?:[\w]+\.)*(\w+)'>", text)
    return {"NoneType": "null"}.get(match[1], match[1]) if match else text.strip(" .")


def _flat(text: str) -> str:
    return " ".join(text.split())


def _known(parser: ArgumentParser, prefix: str = "") -> set[str]:
    """Names one level below `prefix` among the options of a parser."""
    names = (action.dest for action in parser._actions)
    return {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}


def load_class(path: str | None) -> type | None:
    if not path:
        return None
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) else None


def type_name(path: str) -> str:
    return path.rpartition(".")[2]


def _arguments(path: str) -> ArgumentParser:
    """A parser of the arguments of a class, with those that `**kwargs` passes on to its bases."""
    inner = ArgumentParser(exit_on_error=False)
    if cls := load_class(path):
        inner.add_class_arguments(cls, fail_untyped=False)
    return inner


def _options(path: str, prefix: str = "") -> set[str]:
    return _known(_arguments(path), prefix) - {"help"}


def _annotation(parser: ArgumentParser, path: str | None, keys: list[str]) -> Any:
    """The type of an argument: of the class at `path`, or of the parser itself."""
    actions = _arguments(path)._actions if path else parser._actions
    dest = keys[-1] if path else ".".join(keys)
    return next((getattr(action, "_typehint", None) for action in actions if action.dest == dest), None)


def _classes(annotation: Any) -> list[type]:
    """The classes in an annotation: list[list[Op]] -> [Op]."""
    todo, found = [annotation], []
    while todo:
        hint = todo.pop(0)
        todo += get_args(hint)
        if isinstance(hint, type) and hint.__module__ != "builtins" and not get_args(hint):
            found.append(hint)
    return found


def subclasses(base: type | None) -> dict[str, type]:
    """The imported subclasses of a class by their own name."""
    found: dict[str, type] = {}
    todo = [base] if base else []
    while todo:
        for cls in todo.pop().__subclasses__():
            found[cls.__name__] = cls
            todo.append(cls)
    return found
