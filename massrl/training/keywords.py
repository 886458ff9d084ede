"""Keywords of a Python call become settings in the form of a config file: each is the last part of an option."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_loading.config.described import argument_names
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, near_miss
from data_loading.loading.datamodule import BetonDataModule
from massrl import recipes
from massrl.methods import METHODS, Method
from massrl.parsing.messages import load_class
from massrl.parsing.places import Keywords


def from_keywords(
    train: Any, method: Any, config: Any, options: Mapping[str, Any]
) -> tuple[dict[str, Any], Method | None, Keywords]:
    """Settings in a config file's form, the method where it is an object already, and the keyword behind each option.

    train: the training data, or None.  method: a name, a class, an object or None.  config: recipes, files or mappings.
    options: keywords; each is the last part of an option of `massrl pretrain` (batch_size), the whole option
    (data.batch_size), or a group of them as a mapping (data={...}).
    """
    settings: dict[str, Any] = {}
    files: list[Path] = []
    for one in config if isinstance(config, list | tuple) else [config] if config is not None else []:
        merge(settings, one if isinstance(one, Mapping) else _read(one, files))
    keywords = Keywords(files, {"train": train, "method": method, **options})
    made = method if isinstance(method, Method) else None
    if made is not None:
        settings.pop("model", None)
    elif method is not None:
        name = method if isinstance(method, str) else f"{method.__module__}.{method.__qualname__}"
        merge(settings, {"model": {"class_path": name}})
        keywords["model"] = "method"
    kind = type(made) if made is not None else _kind(settings.get("model"))
    if train is not None:
        merge(settings, {"data": {"train": _texts(train)}})
        keywords["data.train"] = "train"
    for name, value in options.items():
        if name in ("model", "data", "trainer") and isinstance(value, Mapping):
            merge(settings, {name: {"init_args": dict(value)} if name == "model" else dict(value)})
            continue
        option = option_of(name, kind)
        if made is not None and option.startswith("model."):
            raise ConfigError(f"{name}: the method is an object already; give {name} to {kind.__name__}(...) instead")
        keywords[option.replace(".init_args", "")] = keywords[option] = name
        nested: Any = _texts(value)
        for part in reversed(option.split(".")):
            nested = {part: nested}
        merge(settings, nested)
    return settings, made, keywords


def _kind(model: Any) -> type[Method]:
    """The class of a config's model: MASSRL where none is named."""
    path = model.get("class_path") if isinstance(model, Mapping) else model
    if path is None:
        return METHODS["MASSRL"]
    if path in METHODS or "." not in str(path):
        return METHODS[path]  # an unknown name is answered with the nearest
    return load_class(path) or Method


def option_of(name: str, kind: type[Method]) -> str:
    """The option that a keyword stands for, dotted; ConfigError with the nearest where there is none."""
    group, _, rest = name.partition(".")
    if rest:
        return f"model.init_args.{rest}" if group == "model" and not rest.startswith("init_args") else name
    known = options(kind)
    if name not in known:
        raise ConfigError(
            f"no keyword {name!r}.{near_miss(name, known)} {kind.__name__}, BetonDataModule and Trainer take none "
            "of that name"
        )
    found = known[name]
    if len(found) > 1:
        raise ConfigError(f"{name}: means {' or '.join(found)}; write the whole one: **{{{found[0]!r}: ...}}")
    return found[0]


def options(kind: type[Method]) -> dict[str, list[str]]:
    """keyword -> the options that end in it, for a method's class."""
    groups = {"data": argument_names(BetonDataModule), "trainer": argument_names(pl.Trainer)}
    groups["model.init_args"] = argument_names(kind)
    found: dict[str, list[str]] = {
        name: [name] for name in ("run", "ckpt_path", "minutes", "report", "seed_everything")
    }
    for group, names in groups.items():
        for name in names:
            found.setdefault(name, []).append(f"{group}.{name}")
    return found


def _texts(value: Any) -> Any:
    """Paths as text: what a config file would hold."""
    if isinstance(value, Path):
        return str(value)
    return [_texts(one) for one in value] if isinstance(value, list | tuple) else value


def _read(name: Any, files: list[Path]) -> dict[str, Any]:
    """The settings of a config file, or of a recipe by its name."""
    path = Path(name)
    if not path.is_file():
        path = recipes.path(str(name))
    files.append(path)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: holds no settings; write keys as model:, data: and trainer:")
    return found


def merge(settings: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put `more` over `settings`, mapping by mapping. Another class keeps the arguments that it takes, too."""
    for key, value in more.items():
        old = settings.get(key)
        if not isinstance(value, Mapping):
            settings[key] = value  # the object itself, not a copy
            continue
        if not isinstance(old, dict):
            old = settings[key] = {}
        path = value.get("class_path")
        if path is not None and path != old.get("class_path"):
            known = set(argument_names(_kind(value))) if key == "model" else set()
            old["init_args"] = {k: v for k, v in (old.get("init_args") or {}).items() if k in known}
        merge(old, value)
