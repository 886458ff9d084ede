"""Where a setting was given: on the command line, or in which file and under which key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml


def config_files(words: list[str]) -> list[Path]:
    """The files given with --config."""
    pairs = [word.partition("=") for word in words]
    inline = [value for name, _, value in pairs if name in ("--config", "-c") and value]
    spaced = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--config", "-c")]
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


def _documents(words: list[str]) -> Iterator[tuple[Path, Any]]:
    for path in config_files(words):
        try:
            yield path, yaml.safe_load(path.read_text())
        except (OSError, yaml.YAMLError):
            continue


def _plain(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key != "init_args"]


def place(words: list[str], keys: list[str]) -> str:
    """ "file: key: " of a key that a config file holds, else "key: " as on the command line."""
    key = ".".join(keys)
    if any(word.partition("=")[0].rstrip("+") == f"--{key}" for word in words):
        return f"--{key}: "
    for path, document in _documents(words):
        for found, _ in _walk(document):
            if found and _plain(found) == _plain(keys):
                return f"{path}: {'.'.join(found)}: "
    return f"{key}: " if key else ""


def place_of_value(words: list[str], value: str) -> str:
    """ "file: key: " or "--key: " of where a word was given as a value; nothing where it was not."""
    for i, word in enumerate(words):
        name, _, inline = word.partition("=")
        given = inline or (words[i + 1] if i + 1 < len(words) else "")
        if name.startswith("--") and value in re.split(r"[\s,\[\]\"'{}:]+", given):
            return f"{name.rstrip('+')}: "
    for path, document in _documents(words):
        for keys, found in _walk(document):
            if keys and found == value:
                return f"{path}: {'.'.join(keys)}: "
    return ""
