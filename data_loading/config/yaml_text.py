"""YAML that a person or another program wrote: read within bounds, and refused in one line where it is ambiguous.

PyYAML takes the last of two equal keys without a word, and makes whatever anchors expand to.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from data_loading.errors import ConfigError

MOST_BYTES = 4 * 2**20  # of a file; the largest config of a run is a thousandth of it
MOST_NODES = 100_000  # values after anchors are expanded; long texts count as several
DEEPEST = 50  # mappings and lists within each other
NODE_TEXT = 64  # characters that count as one more value
Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused(yaml.YAMLError):
    """YAML that is valid, but not taken."""


def parse(text: str) -> Any:
    """The value of YAML text. yaml.YAMLError for what is not valid, has a key twice, is too deep or too large."""
    check(text)
    try:
        return yaml.load(text, Loader)
    except (ValueError, TypeError) as error:  # as of the date 2020-99-99
        raise Refused(str(error)) from error


def check(text: str) -> None:
    """yaml.YAMLError where the text is no YAML that `parse` takes; nothing is made of it."""
    _check_depth(text)
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            _extent(node, {}, set())
    finally:
        loader.dispose()


def read(path: str | os.PathLike, what: str = "settings") -> Any:
    """The value in a YAML file; ConfigError, which begins with its name, where it cannot be read.

    what: that the file should hold, for the errors.
    """
    try:
        if Path(path).is_dir():
            raise ConfigError(f"{path}: is a folder; name a YAML file of {what}")
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ConfigError(f"{path}: is larger than {MOST_BYTES >> 20} MiB; name a YAML file of {what}")
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); name a YAML file of {what}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}; name a YAML file of {what}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def read_mapping(path: str | os.PathLike, what: str = "settings") -> dict[str, Any]:
    """The mapping in a YAML file, {} of an empty one; ConfigError where it holds anything else."""
    found = read(path, what)
    if found is not None and not isinstance(found, dict):
        kind = {"list": "a list", "str": "a text"}.get(type(found).__name__, f"one value, {found!r:.40}")
        raise ConfigError(f"{path}: holds {kind}, where {what} are needed: write keys, as name: value")
    return found or {}


def _check_depth(text: str) -> None:
    """Before anything recurses over the text."""
    depth = 0
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark else "?"
                raise Refused(f"line {line}: more than {DEEPEST} values within each other")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """(values, levels) of a node once its anchors are expanded; yaml.YAMLError where there are too many.

    known: of nodes by id.  above: ids of the nodes around it.
    """
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    if id(node) in above:
        raise Refused(f"line {line}: an anchor within itself")
    below: list[yaml.Node] = []
    values, levels = 1, 0
    if isinstance(node, yaml.ScalarNode):
        values += len(node.value) // NODE_TEXT
    elif isinstance(node, yaml.MappingNode):
        _check_keys(node)
        below = [part for pair in node.value for part in pair]
    else:
        below = node.value
    for part in below:
        more, deep = _extent(part, known, above | {id(node)})
        values, levels = values + more, max(levels, deep + 1)
        if values > MOST_NODES or levels > DEEPEST:
            raise Refused(
                f"line {line}: more than {MOST_NODES:,} values, or {DEEPEST} levels, once its anchors are expanded"
            )
    known[id(node)] = values, levels
    return values, levels


def _check_keys(node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Refused(f"line {key.start_mark.line + 1}: a key that is a list or a mapping")
        line = key.start_mark.line + 1
        if (key.tag, key.value) in lines:
            first = lines[key.tag, key.value]
            where = f"line {line}" if first == line else f"line {line}, and before in line {first}"
            raise Refused(f"{where}: the key {key.value!r} is there twice; keep one")
        lines[key.tag, key.value] = line
