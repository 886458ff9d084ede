"""The form of what a run folder's JSON files hold: checked once, so that sections can use numbers as numbers.

A shape is a type, a tuple of types, a dict of shapes by key (those ending in "?" may be missing, "*" stands for any
key), or a list with the shape of each item.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_loading.errors import ConfigError

MOST = 1e300  # greater ones are infinite, or integers that have no float
NUMBER = (int, float)
MAYBE = (int, float, type(None))
PATHS = (str, list)
WORDS: dict[Any, str] = {
    NUMBER: "a number",
    MAYBE: "a number or null",
    PATHS: "text or a list",
    str: "text",
    dict: "an object",
    list: "a list",
}
SCORES = {"mean": NUMBER, "std": MAYBE, "draws": NUMBER}
GAIN = {"mean": NUMBER, "std": MAYBE, "low?": MAYBE, "high?": MAYBE, "won": NUMBER, "draws": NUMBER}
PAIRED = {"*": {"*": {"*": GAIN}}}
CARD = {"protocol": str, "source": str, "selection": str, "parameters": dict}
RUN_METRICS = {"seconds?": {"*": NUMBER}, "training?": {"alarm?": str}}
EVALUATION = {"paired?": PAIRED, "untrained?": {"rank?": NUMBER, "alignment?": NUMBER}}
ENVIRONMENT = {"started?": str}
ROW = {"mean": NUMBER, "std": MAYBE}


def check(value: Any, shape: Any, path: Path, key: str = "") -> None:
    """Raise ConfigError, naming the file and the key, unless `value` has the shape; further keys are free."""
    here = key.removeprefix(".") or "its content"
    if isinstance(shape, dict):
        _expect(isinstance(value, dict), value, dict, path, here)
        for name, inner in shape.items():
            if name == "*":
                for each, part in value.items():
                    check(part, inner, path, f"{key}.{each}")
            elif value.get(name.removesuffix("?")) is not None:
                check(value[name.removesuffix("?")], inner, path, f"{key}.{name.removesuffix('?')}")
            elif not name.endswith("?") and not (isinstance(inner, tuple) and type(None) in inner and name in value):
                raise ConfigError(f"{path}: {here} has no {name}; write it again or remove the file")
    elif isinstance(shape, list):
        _expect(isinstance(value, list), value, list, path, here)
        for i, part in enumerate(value):
            check(part, shape[0], path, f"{key}[{i}]")
    else:
        fits = isinstance(value, shape) and not isinstance(value, bool)
        _expect(fits and not (isinstance(value, int | float) and abs(value) > MOST), value, shape, path, here)


def _expect(fits: bool, value: Any, shape: Any, path: Path, here: str) -> None:
    if not fits:
        raise ConfigError(
            f"{path}: {here} is {repr(value)[:40]}, not {WORDS[shape]}; write it again or remove the file"
        )
