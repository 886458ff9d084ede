"""Command lines from scripts and documents, read by the parsers of their commands without running them."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from massrl.cli.main import COMMANDS
from massrl.parsing import parser

ROOT = Path(__file__).parents[1]


class Parsed(Exception):
    """Raised in place of what a command does after its words are read."""


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Read `massrl WORDS` as the command would, from the checkout's root; fails where the command would refuse it."""
    command, *rest = words
    assert command in COMMANDS, f"no command {command!r} in: massrl {shlex.join(words)}"
    read = parser.Parser.parse_args

    def only_read(self, *args, **kwargs):
        found = read(self, *args, **kwargs)
        if self.exit_on_error:  # parsers within a parser go on
            raise Parsed
        return found

    with monkeypatch.context() as patch:
        patch.setattr(parser.Parser, "parse_args", only_read)
        patch.chdir(ROOT)
        try:
            import_module(COMMANDS[command][0]).main(rest)
        except Parsed:
            return
        except SystemExit as stop:
            if stop.code in (0, None):  # --help
                return
            pytest.fail(f"refused: massrl {shlex.join(words)}")
    if not {"-h", "--help"} & set(rest):
        pytest.fail(f"massrl {shlex.join(words)} ran without a parser of massrl.parsing")


def shell_lines(markdown: str) -> list[list[str]]:
    """The words of each line in the ```bash and ```sh blocks of a page; continued lines joined, comments left out."""
    blocks = re.findall(r"^```(?:bash|sh|shell)\n(.*?)^```", markdown, re.M | re.S)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]
