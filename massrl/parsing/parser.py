"""Parser: jsonargparse whose errors are one line that names the place and the nearest name, with exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from data_loading.errors import ConfigError, printable
from massrl.parsing.messages import sentence
from massrl.parsing.places import Keywords, with_recipes


class Parser(ArgumentParser):
    """The parser of a command: `Parser(prog="massrl knn", description="...")`, then as jsonargparse's.

    One line per error; abbreviated options are refused.  words: what is parsed, kept to say where a wrong key stands.
    """

    words: list[str] | Keywords

    def __init__(self, *args: Any, **kwargs: Any):
        # Else `--trainer.max_epoch 3` would silently mean max_epochs.
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: Iterable[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        self.words = with_recipes(sys.argv[1:] if args is None else list(args))
        return super().parse_args(self.words, *more, **kwargs)

    def parse_settings(self, settings: dict[str, Any], words: Keywords) -> Any:
        """Settings in the form of a config file, of a Python call; a wrong one raises ConfigError with that line."""
        self.words = words
        return self.parse_object(settings)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # nested parsers must raise, for the outer one to report
            super().error(message, ex)
        if isinstance(self.words, Keywords):
            raise ConfigError(sentence(self, message)) from ex
        sys.stderr.write(f"{self.prog.replace(' [options]', '')}: error: {printable(sentence(self, message))}\n")
        self.exit(2)
