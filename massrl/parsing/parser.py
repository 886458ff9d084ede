"""Parser: jsonargparse whose errors are one line that names the place and the nearest name, with exit code 2."""

from __future__ import annotations

import sys
from typing import Any

from jsonargparse import ArgumentParser

from massrl.parsing.messages import sentence


class OneLine:
    """Mixed into a jsonargparse parser: one line per error; abbreviated options are refused."""

    def __init__(self, *args: Any, **kwargs: Any):
        # Else `--trainer.max_epoch 3` would silently mean max_epochs.
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

    def parse_args(self, args: list[str] | None = None, *more: Any, **kwargs: Any):
        self.words = list(sys.argv[1:] if args is None else args)  # to say where a wrong key stands
        return super().parse_args(args, *more, **kwargs)

    def error(self, message: str, ex: Exception | None = None):
        if not self.exit_on_error:  # nested parsers must raise, for the outer one to report
            super().error(message, ex)
        sys.stderr.write(f"{self.prog.replace(' [options]', '')}: error: {sentence(self, message)}\n")
        self.exit(2)


class Parser(OneLine, ArgumentParser):
    """The parser of a command: `Parser(prog="massrl knn", description="...")`, then as jsonargparse's."""
