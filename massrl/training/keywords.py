"""Keywords of a Python call become settings in the form of a config file: each is the last part of an option."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from data_loading.config import yaml_text
from data_loading.config.described import argument_names
from data_loading.config.lightning_package import pl
from data_loading.errors import ConfigError, near_miss
from data_loading.loading.datamodule import BetonDataModule
from data_loading.views.view_set import ViewSet
from massrl import recipes
from massrl.methods import METHODS, Method
from massrl.parsing.messages import load_class
from massrl.parsing.places import Keywords

GROUPS = ("model", "data", "trainer")


def from_keywords(
    train: Any, method: Any, config: Any, options: Mapping[str, Any], keywords: Keywords
) -> tuple[dict[str, Any], Method | None]:
    """Settings in a config file's form, and the method where it is an object already.

    train: the training data, or None.  method: a name, a class, an object or None.  config: recipes, files or mappings.
    options: keywords; each is the last part of an option of `massrl pretrain` (batch_size), the whole option
    (data.batch_size), or a group of them as a mapping (data={...}).  keywords: filled with the files that are read, and
    with the keyword behind each option.
    """
    options = dict(options)
    if "model" in options and not isinstance(options["model"], Mapping):  # the command line's word for it
        if method is not None:
            raise ConfigError("method and model are both given; leave model out")
        method = options.pop("model")
    settings: dict[str, Any] = {}
    for one in config if isinstance(config, list | tuple) else [config] if config is not None else []:
        merge(settings, _grouped(one if isinstance(one, Mapping) else _read(one, keywords.files)))
    made = method if isinstance(method, Method) else None
    if made is not None:
        settings.pop("model", None)
    elif method is not None:
        merge(settings, {"model": {"class_path": _class_path(method)}})
        keywords["model"] = "method"
    for group in [name for name in GROUPS if name in options]:
        merge(settings, _group(group, options.pop(group), made))
        keywords[group] = group
    if train is not None:
        merge(settings, {"data": {"train": _plain(train)}})
        keywords["data.train"] = "train"
    kind = type(made) if made is not None else _kind(settings.get("model"))
    for name, value in options.items():
        option = option_of(name, kind)
        _check_method_keyword(name, option, value, made, kind)
        keywords[option.replace(".init_args", "")] = keywords[option] = name
        nested: Any = _plain(value)
        for part in reversed(option.split(".")):
            nested = {part: nested}
        merge(settings, nested)
    return settings, made


def _group(name: str, value: Any, made: Method | None) -> dict[str, Any]:
    """The settings of a keyword that is a group of options: model, data or trainer."""
    if name == "model" and made is not None:
        raise ConfigError(f"model: the method is an object already; give {type(made).__name__} its arguments")
    return _grouped({name: _arguments_of_model(value) if name == "model" else value})


def _check_method_keyword(name: str, option: str, value: Any, made: Method | None, kind: type[Method]) -> None:
    """Refuse arguments of a method that is an object already, and modules, which no config.yaml can hold."""
    if made is not None and option.startswith("model."):
        raise ConfigError(f"{name}: the method is an object already; give {name} to {kind.__name__}(...) instead")
    if isinstance(value, nn.Module):
        raise ConfigError(f"{name}: is a module; make the method yourself: method={kind.__name__}({name}=...)")


def _grouped(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose model, data and trainer are mappings; a model may be written as its name alone."""
    found = {name: _plain(value) for name, value in settings.items()}
    for group in GROUPS:
        value = found.get(group)
        if group == "model" and isinstance(value, str):
            found[group] = {"class_path": value}
        elif value is not None and not isinstance(value, Mapping):
            raise ConfigError(f"{group}: expected a mapping of its arguments, got {value!r}")
    return {name: value for name, value in found.items() if name not in GROUPS or value is not None}


def _arguments_of_model(value: Any) -> Any:
    """A mapping of the method's arguments, or one with class_path and init_args as in a config file."""
    written = isinstance(value, Mapping) and {"class_path", "init_args"} & value.keys()
    return value if written or not isinstance(value, Mapping) else {"init_args": value}


def _class_path(method: Any) -> str:
    """The name or import path of a method that is given as a name or a class."""
    if isinstance(method, str):
        return method
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise ConfigError(f"method is {method!r}; give a name, a subclass of massrl.Method, or an object of one")
    if "<locals>" in method.__qualname__:
        raise ConfigError(f"method: {method.__name__} is defined inside a function; give an object, or move it out")
    return f"{method.__module__}.{method.__qualname__}"


def _kind(model: Any) -> type[Method]:
    """The class of a config's model: MASSRL where none is named."""
    path = model.get("class_path") if isinstance(model, Mapping) else None
    if path is None:
        return METHODS["MASSRL"]
    if path in METHODS or "." not in str(path):
        return METHODS[path]  # an unknown name is answered with the nearest
    found = load_class(path)
    if found is None or not issubclass(found, Method):
        what = "cannot be imported" if found is None else "is no subclass of massrl.Method"
        raise ConfigError(f"method: {path} {what}")
    return found


def option_of(name: str, kind: type[Method]) -> str:
    """The option that a keyword stands for, dotted; ConfigError with the nearest where there is none."""
    group, _, rest = name.partition(".")
    if rest:
        whole = group != "model" or rest == "class_path" or rest.startswith("init_args.")
        return name if whole else f"model.init_args.{rest}"
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
        name: [name] for name in ("run", "ckpt_path", "minutes", "report", "export", "seed_everything", "global_batch")
    }
    for group, names in groups.items():
        for name in names:
            found.setdefault(name, []).append(f"{group}.{name}")
    return found


def _plain(value: Any) -> Any:
    """What a config file would hold, where it can: paths, view sets, dataclasses, NumPy numbers as plain values."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, ViewSet):
        return value.to_dict()
    if isinstance(value, np.generic):
        return value.item()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: one for name, one in dataclasses.asdict(value).items() if one is not None}
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _read(name: Any, files: list[Path]) -> dict[str, Any]:
    """The settings of a config file, or of a recipe by its name."""
    if not isinstance(name, str | os.PathLike):
        raise ConfigError(f"config is {name!r}; give a recipe's name, a file, or a mapping of settings")
    path = recipes.file(os.fspath(name))
    if not path.is_file():
        raise ConfigError(f"config: {path}: no such file")
    files.append(path)
    return yaml_text.read_mapping(path)


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
