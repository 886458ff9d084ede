"""The one line for each mistake in the settings: where it was made, what is wrong, and the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, get_args

from jsonargparse import ArgumentParser

from data_loading.config.described import import_failure
from data_loading.errors import near_miss
from massrl.parsing import mistakes
from massrl.parsing.mistakes import Mistake
from massrl.parsing.places import Keywords, config_files, place

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
LITERAL = re.compile(r"^(?:typing\.)?Literal\[(?P<names>.*)\]$")


def sentence(parser: ArgumentParser, message: str) -> str:
    """The one line that stands for jsonargparse's message."""
    for pattern, say in FLAT:
        if match := pattern.search(message):
            return say(parser, match)
    mistake = mistakes.read(message)
    if mistake is None:
        return _flat(message)
    return _broken_module(parser, mistake) or NESTED[mistake.kind](parser, mistake)


# --- mistakes that jsonargparse tells in one line


def _unknown_word(parser: ArgumentParser, match: re.Match) -> str:
    word = match["word"]
    name = word.partition("=")[0]
    if not name.startswith("-"):
        return f"{word!r} is one word too many; options are written as --name value"
    return f"no option {name!r}.{near_miss(name, parser._option_string_actions)}"


def _missing(parser: ArgumentParser, match: re.Match) -> str:
    missing = ", ".join(f"--{name}" for name in match["names"].split(", ") if not name.startswith("-"))
    return f"missing: {missing or match['names']}"


def _no_choice(parser: ArgumentParser, match: re.Match) -> str:
    names = [name.strip(" '\"") for name in match["names"].split(",")]
    where = match.string[: match.start()].removeprefix("argument ").strip(" :")
    return f"{where}: no choice {match['name']!r}.{near_miss(match['name'], names)} Choices: {', '.join(names)}"


def _no_yaml(parser: ArgumentParser, match: re.Match) -> str:
    return f"{', '.join(map(str, config_files(_words(parser))))}: not valid YAML: {_flat(match['why'])}"


FLAT: tuple[tuple[re.Pattern, Callable[[ArgumentParser, re.Match], str]], ...] = (
    (re.compile(r"^unrecognized arguments: (?P<word>\S+)"), _unknown_word),
    (re.compile(r"^the following arguments are required: (?P<names>.*)$"), _missing),
    (re.compile(r"invalid choice: '?(?P<name>[^' ]*)'? \(choose from (?P<names>.*)\)$"), _no_choice),
    (re.compile(r"^Problems parsing config: (?P<why>.*)", re.S), _no_yaml),
)


# --- mistakes in a nested value


def _nested_option(parser: ArgumentParser, mistake: Mistake) -> str:
    *groups, name = mistake.name.split(".")
    known = _known_of(parser, mistake, "".join(f"{group}." for group in groups))
    what = groups[-1] if groups else type_name(mistake.cls)
    return f"{_place(parser, mistake, *groups, name)}{what} has no option {name!r}.{near_miss(name, known)}"


def _option_of_group(parser: ArgumentParser, mistake: Mistake) -> str:
    group, name = mistake.group, mistake.name
    bases = [load_class(mistake.base)] if mistake.base else _classes(_annotation(parser, None, mistake.keys))
    if mistake.cls and any(group in subclasses(one) for one in bases):
        return f"{_place(parser, mistake, group)}write {{class_path: {group}, init_args: {{{name}: ...}}}}"
    known = _known_of(parser, mistake, f"{group}.")
    if known or mistake.cls:
        return f"{_place(parser, mistake, group, name)}{group} has no option {name!r}.{near_miss(name, known)}"
    return f"{_place(parser, mistake, group)}no option {group!r}.{near_miss(group, _known(parser))}"


def _option(parser: ArgumentParser, mistake: Mistake) -> str:
    name, kind = mistake.name, type_name(mistake.cls)
    if kind and name == "class_path":
        return f"{_place(parser, mistake)}the options of {kind} belong under init_args: class_path, init_args: {{...}}"
    what = f"{kind} has no" if kind else "no"
    return f"{_place(parser, mistake, name)}{what} option {name!r}.{near_miss(name, _known_of(parser, mistake))}"


def _no_class(parser: ArgumentParser, mistake: Mistake) -> str:
    bases = _classes(_annotation(parser, mistake.cls, mistake.keys))
    names = {name for one in bases for name in subclasses(one)}
    kind = bases[0].__name__.lower() if bases else "class"
    listed = f" Known: {', '.join(sorted(names))}" if names else ""
    return f"{_place(parser, mistake)}no {kind} named {mistake.name!r}.{near_miss(mistake.name, names)}{listed}"


def _wrong_type(parser: ArgumentParser, mistake: Mistake) -> str:
    expected, given = mistake.expected, mistake.given
    literals = [match["names"] for text in expected if (match := LITERAL.match(text))]
    choices = [name for names in literals for name in re.findall(r"'([^']+)'", names)]
    if choices:
        return f"{_place(parser, mistake)}no choice {given!r}.{near_miss(given, choices)} Choices: {', '.join(choices)}"
    return f"{_place(parser, mistake)}expected {' or '.join(expected)}, got {given!r}"


def _other(parser: ArgumentParser, mistake: Mistake) -> str:
    return f"{_place(parser, mistake) if mistake.keys else ''}{_flat(mistake.text)}"


def _broken_module(parser: ArgumentParser, mistake: Mistake) -> str | None:
    """What a module of the user raises when it is imported, of which jsonargparse keeps the text alone."""
    if mistake.kind not in ("type", "other") or not _classes(_annotation(parser, mistake.cls, mistake.keys)):
        return None
    for path in IMPORT_PATH.findall(mistake.given or ""):
        try:
            import_module(path.rpartition(".")[0])
        except ImportError:
            continue
        except Exception as error:  # whatever the user's code raises
            return f"{_place(parser, mistake)}{import_failure(repr(path), error)}"
    return None


NESTED: dict[str, Callable[[ArgumentParser, Mistake], str]] = {
    "nested option": _nested_option,
    "option of group": _option_of_group,
    "option": _option,
    "class": _no_class,
    "type": _wrong_type,
    "other": _other,
}


# --- what there is: places, names and classes


def _words(parser: ArgumentParser) -> list[str] | Keywords:
    return getattr(parser, "words", [])


def _place(parser: ArgumentParser, mistake: Mistake, *more: str) -> str:
    """Where the value of the mistake, or of a key below it, was given."""
    return place(_words(parser), [*mistake.keys, *more])


def _flat(text: str) -> str:
    return " ".join(text.split())


def _known(parser: ArgumentParser, prefix: str = "") -> set[str]:
    """Names one level below `prefix` among the options of a parser."""
    names = (action.dest for action in parser._actions)
    return {name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)}


def _known_of(parser: ArgumentParser, mistake: Mistake, prefix: str = "") -> set[str]:
    """Names of options: of the class that the mistake was made in, else of the parser itself."""
    return _options(mistake.cls, prefix) if mistake.cls else _known(parser, prefix)


def load_class(path: str | None) -> type | None:
    if not path:
        return None
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None
    return found if isinstance(found, type) else None


def type_name(path: str | None) -> str | None:
    """The name of a class by its import path; None where there is none."""
    return path.rpartition(".")[2] if path else None


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
    todo: list[type] = [base] if base else []
    while todo:
        below: list[type] = todo.pop().__subclasses__()
        found |= {cls.__name__: cls for cls in below}
        todo += below
    return found
