"""Parser: jsonargparse whose errors are one line that names the place and the nearest name, with exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace, get_loader, set_loader

from data_loading.config import yaml_text
from data_loading.config.described import import_failure
from data_loading.errors import ConfigError, one_line
from massrl.parsing.messages import sentence
from massrl.parsing.places import Keywords, config_files, configs_first, place, with_recipes

MODE = "checked_yaml"  # jsonargparse's word for how values and files are read


def load(text: str) -> Any:
    """jsonargparse's reading of YAML, of texts within the bounds of `yaml_text`."""
    yaml_text.check(text)
    return get_loader("yaml")(text)


set_loader(MODE, load, exceptions=(yaml.YAMLError,))


class Parser(ArgumentParser):
    """The parser of a command: `Parser(prog="massrl knn", description="...")`, then as jsonargparse's.

    One line per error; abbreviated options are refused. Options of the command line override those of --config files,
    wherever they stand. An empty value, or one with a line break or a NUL byte, is refused.  words: what is parsed,
    kept to say where a wrong key stands.
    """

    words: list[str] | Keywords

    def __init__(self, *args: Any, **kwargs: Any):
        # Else `--trainer.max_epoch 3` would silently mean max_epochs.
        super().__init__(*args, **{"allow_abbrev": False, "parser_mode": MODE, **kwargs})

    def parse_args(self, args: Iterable[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        given = sys.argv[1:] if args is None else list(args)
        self.words = given  # for an error before recipes are found
        if word := next((word for word in given if "\0" in word), None):
            self.error(f"{word!r} has a NUL byte, which no option and no path can have")
        if name := _empty(given):
            raise ConfigError(f"{name} is ''; name a folder, a file or another value, or leave it out")
        if self._takes_config:
            given = configs_first(given)
        self.words = with_recipes(given)
        if self._takes_config:
            self._check_configs()
        try:
            found = super().parse_args(self.words, *more, **kwargs)
        except Exception as error:  # of a module of the user, which jsonargparse imports
            if not _while_importing(error):
                raise
            self.error(import_failure("a class that is named here", error))
        self._check_values(found)
        return found

    def parse_settings(self, settings: dict[str, Any], words: Keywords) -> Any:
        """Settings in the form of a config file, of a Python call; a wrong one raises ConfigError with that line."""
        self.words = words
        found = self.parse_object(settings)
        self._check_values(found)
        return found

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # nested parsers must raise, for the outer one to report
            super().error(message, ex)
        if isinstance(self.words, Keywords):
            raise ConfigError(sentence(self, message)) from ex
        line = one_line(sentence(self, message))
        sys.stderr.write(f"{self.prog.replace(' [options]', '')}: error: {line}\n")
        self.exit(2)

    @property
    def _takes_config(self) -> bool:
        return any(isinstance(action, ActionConfigFile) for action in self._actions)

    def _check_configs(self) -> None:
        """Refuse a config file before anything is made of it; other words, as YAML itself, are jsonargparse's."""
        for path in filter(os.path.exists, config_files(self.words)):
            try:
                yaml_text.read_mapping(path)
            except ConfigError as error:
                self.error(str(error))

    def _check_values(self, found: Any) -> None:
        """Refuse text that is empty, except below a class, whose defaults may be; and text that no path can be."""
        for keys, value in _texts(vars(found).items()):
            if (value.strip() or "init_args" not in keys) and (reason := _unusable(value)):
                self.error(f"{place(self.words, keys)}{reason}")


def _while_importing(error: Exception) -> bool:
    """Whether an error was raised by the code of a module while it was imported."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name != "<module>":
        trace = trace.tb_next
    return trace is not None or isinstance(error, SyntaxError)


def _empty(words: list[str]) -> str | None:
    """What was given an empty value, as --run "$UNSET" is: the option, or in words one without a name."""
    for before, word in zip(["", *words], words, strict=False):
        name, equals, value = word.partition("=")
        if name.startswith("--") and equals and not value.strip():
            return name
        if not word.strip():
            return before if before.startswith("--") and "=" not in before else "an argument"
    return None


def _unusable(text: str) -> str | None:
    if not text.strip():
        return f"is {text!r}; give a value, or leave it out"
    odd = next((char for char in text if char in "\0\n\r"), None)
    return f"{text!r} has a {'NUL byte' if odd == chr(0) else 'line break'}, which is not allowed" if odd else None


def _texts(items: Iterable[tuple[Any, Any]], keys: tuple[str, ...] = ()) -> Iterator[tuple[list[str], str]]:
    """(keys, text) of each text in nested namespaces, mappings and lists."""
    for key, value in items:
        here = (*keys, str(key)) if key is not None else keys
        if isinstance(value, str | Path):
            yield list(here), str(value)
        elif isinstance(value, dict | Namespace):
            yield from _texts((value if isinstance(value, dict) else vars(value)).items(), here)
        elif isinstance(value, list | tuple):
            yield from _texts(((None, item) for item in value), here)
