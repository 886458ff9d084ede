"""Where a setting was given: on the command line, or in which file and under which key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_loading.config import yaml_text
from data_loading.errors import ConfigError
from massrl import recipes

CONFIG = ("--config", "-c")


def configs_first(words: list[str]) -> list[str]:
    """The words with each --config and its file at the front, in their order, so that the other options win."""
    configs: list[str] = []
    others: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":  # what follows is no option
            return [*configs, *others, word, *rest]
        name, equals, _ = word.partition("=")
        if name not in CONFIG:
            others.append(word)
        elif equals:
            configs.append(word)
        else:
            configs += [word, *([value] if (value := next(rest, None)) is not None else [])]
    return [*configs, *others]


def with_recipes(words: list[str]) -> list[str]:
    """The words of a command line, with the file of a recipe in place of its name: --config digits/byol."""
    found = list(words)
    for i, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in CONFIG and equals:
            found[i] = f"{name}={recipes.file(value)}"
        elif word in CONFIG and i + 1 < len(words):
            found[i + 1] = str(recipes.file(words[i + 1]))
    return found


class Keywords(dict):
    """What a Python call gives in place of the words of a command line: option -> the keyword that set it.

    files: the config files that it names.  given: keyword -> its value.
    """

    def __init__(self, files: Sequence[Path] = (), given: Mapping[str, Any] | None = None):
        super().__init__()
        self.files, self.given = list(files), dict(given or {})


def config_files(words: list[str] | Keywords) -> list[Path]:
    """The files given with --config."""
    if isinstance(words, Keywords):
        return words.files
    words = with_recipes(words)
    pairs = [word.partition("=") for word in words]
    inline = [value for name, _, value in pairs if name in CONFIG and value]
    spaced = [words[i + 1] for i, word in enumerate(words[:-1]) if word in CONFIG]
    return [Path(path) for path in [*inline, *spaced]]


def _walk(node: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every (keys, value) of nested dicts and lists; items of a list stand under the list's own keys."""
    yield keys, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _walk(value, (*keys, str(key)))
    elif isinstance(node, list):
        for value in node:
            yield from _walk(value, keys)


def _documents(words: list[str] | Keywords) -> Iterator[tuple[Path, Any]]:
    for path in config_files(words):
        try:
            yield path, yaml_text.read(path)
        except ConfigError:
            continue


def _plain(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key != "init_args"]


def place(words: list[str] | Keywords, keys: list[str]) -> str:
    """Where a key was set: "--key: " on the command line, "keyword: " in Python, "file: key: ", else "key: "."""
    key = ".".join(keys)
    if isinstance(words, Keywords):
        for n in range(len(keys), 0, -1):  # the keyword that set it, or that set a mapping around it
            if keyword := words.get(".".join(keys[:n])):
                return f"{'.'.join([keyword, *keys[n:]])}: "
    if not isinstance(words, Keywords) and any(word.partition("=")[0].rstrip("+") == f"--{key}" for word in words):
        return f"--{key}: "
    for path, document in _documents(words):
        for found, _ in _walk(document):
            if found and _plain(found) == _plain(keys):
                return f"{path}: {'.'.join(found)}: "
    return f"{key}: " if key else ""


def place_of_value(words: list[str] | Keywords, value: str) -> str:
    """Where a word was given as a value: "--key: ", "keyword: " or "file: key: "; "" where it was not."""
    if isinstance(words, Keywords):
        for keyword, given in words.given.items():
            if any(found == value for _, found in _walk(given)):
                return f"{keyword}: "
    for i, word in enumerate([] if isinstance(words, Keywords) else words):
        name, _, inline = word.partition("=")
        given = inline or (words[i + 1] if i + 1 < len(words) else "")
        if name.startswith("--") and value in re.split(r"[\s,\[\]\"'{}:]+", given):
            return f"{name.rstrip('+')}: "
    for path, document in _documents(words):
        for keys, found in _walk(document):
            if keys and found == value:
                return f"{path}: {'.'.join(keys)}: "
    return ""
