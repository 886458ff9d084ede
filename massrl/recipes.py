"""The recipes of configs/pretrain by name, as `digits/byol`: the YAML files that `massrl pretrain --config` takes.

In a clone they are read from configs/; an installed package holds a copy of them, made by setup.py, in massrl/configs.
"""

from __future__ import annotations

import os
from pathlib import Path

from data_loading.errors import UnknownName, near_miss

INSTALLED, CLONE = (parent / "configs" / "pretrain" for parent in Path(__file__).resolve().parents[:2])


def folder() -> Path:
    """The folder of the recipes: one folder a data set, one file a recipe."""
    return INSTALLED if INSTALLED.is_dir() else CLONE


def names() -> list[str]:
    """The names of all recipes, sorted: DATA_SET/FILE without its suffix."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().glob("*/*.yaml"))


def path(name: str) -> Path:
    """The file of a recipe.

    Raises UnknownName, with the nearest name, where there is none.
    """
    known = names()
    if name not in known:
        raise UnknownName(f"no recipe named {name!r}.{near_miss(name, known)} `massrl list recipes` shows all")
    return folder() / f"{name}.yaml"


def summary(name: str) -> str:
    """The first sentence of a recipe's file: what it trains on what."""
    first = path(name).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ").partition("  ")[0]


def file(value: str) -> Path:
    """What a word given as --config means: a file where there is one, else the recipe of this name.

    Words that look like a file or like YAML itself stay as they are, for the parser to judge.
    """
    looks_like_text = any(mark in value for mark in ":{\n")
    if os.path.exists(value) or looks_like_text or Path(value).suffix in (".yaml", ".yml", ".json"):
        return Path(value)
    return path(value)
