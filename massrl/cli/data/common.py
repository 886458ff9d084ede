"""What the actions of `massrl data` share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.parsing.parser import Parser

CHECK = "do it once on 16 drawn images in a temporary folder"


def parse(parser: Parser, argv: list[str], *needed: str):
    """Parse; the `needed` positional words may be missing under --check only."""
    args = parser.parse_args(argv)
    missing = [name for name in needed if getattr(args, name) is None]
    if missing and not args.check:
        parser.error(f"missing: {' '.join(name.upper() for name in missing)}")
    return args


def refuse(parser: Parser, names: Sequence[str], where: str) -> None:
    """ConfigError where one of these options is given: it would be left out without a word.

    where: the words that end the sentence, as "with --ops; see ...".
    """
    for name in names:
        if any(word.startswith(f"--{name}=") or word == f"--{name}" for word in parser.words):
            raise ConfigError(f"{name} does not go {where}")


def ends_in(suffix: str, out: str) -> None:
    """ConfigError where the file to write is not named after what it will be."""
    if Path(out).suffix.lower() != suffix:
        raise ConfigError(f"out is {out}; what is written is a {suffix[1:].upper()}, give it a name in {suffix}")


def drawn(folder: str) -> Path:
    """A folder of 16 drawn images, which stand for the user's."""
    from massrl.cli.samples import sample_folder

    print("check: 16 drawn images in a temporary folder stand for your data")
    return sample_folder(Path(folder))


def checked_file(folder: str) -> Path:
    """The same as a .beton file."""
    from data_loading import sources

    return sources.as_beton(drawn(folder), cache=Path(folder) / "cache", progress=False)


def save_grid(columns: list, names: list[str], out: Path) -> Path:
    """Draw columns of (title, images) into a PNG, one row per name."""
    from massrl.report.pictures.grid import Cell, Row, grid
    from massrl.report.style import save_png

    rows = [Row(name, [Cell(images[r]) for _, images in columns]) for r, name in enumerate(names)]
    return save_png(grid(rows, [title for title, _ in columns], cell=1.5), out, dpi=100)
