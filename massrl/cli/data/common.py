"""Helpers shared by the actions of `massrl data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_loading.errors import ConfigError
from massrl.cli.ends import one_or_list
from massrl.parsing.parser import Parser

MOST_WORKERS = 1024
POSITIONS = ("file", "train")  # which take several files
CHECK = "run once on 16 generated images in a temporary folder"


def parse(parser: Parser, argv: list[str], *needed: str):
    """Parse `argv`. The positional arguments `needed` may be omitted with --check only, else exit code 2.

    Several words in a position that takes them, as a shell makes of a pattern, are a list; one is a string.
    """
    args = parser.parse_args(argv)
    for name in POSITIONS:
        if isinstance(words := getattr(args, name, None), list):
            setattr(args, name, one_or_list(words))
    missing = [name for name in needed if getattr(args, name) is None]
    if missing and not args.check:
        parser.error(f"missing: {' '.join(name.upper() for name in missing)}")
    return args


def refuse(parser: Parser, names: Sequence[str], where: str) -> None:
    """ConfigError if one of the options `names` is on the command line: it would have no effect.

    where: the end of the message, for example "with --ops; see massrl data show --help".
    """
    for name in names:
        if any(word.startswith(f"--{name}=") or word == f"--{name}" for word in parser.words):
            raise ConfigError(f"{name} has no effect {where}")


def check_workers(num_workers: int) -> None:
    """ConfigError for a number of threads or processes that no machine takes."""
    if not 0 <= num_workers <= MOST_WORKERS:
        raise ConfigError(
            f"num_workers is {num_workers}; it must be an integer from 0 (one per core) to {MOST_WORKERS:,}"
        )


def ends_in(suffix: str, out: str) -> None:
    """ConfigError if the output file `out` does not have the suffix of its format, for example ".png"."""
    if Path(out).suffix.lower() != suffix:
        raise ConfigError(f"out is {out}; the output is a {suffix[1:].upper()}, give it a name ending in {suffix}")


def generated_images(folder: str) -> Path:
    """Write 16 generated images in two classes below `folder`, for --check; returns their folder."""
    from massrl.cli.samples import sample_folder

    print("check: 16 generated images in a temporary folder replace your data")
    return sample_folder(Path(folder))


def checked_file(folder: str) -> Path:
    """Write the 16 generated images of --check to a .beton file below `folder`; returns its path."""
    from data_loading import sources

    return sources.as_beton(generated_images(folder), cache=Path(folder) / "cache", progress=False)


def save_grid(columns: list, names: list[str], out: Path) -> Path:
    """Write a PNG with a grid of images. columns: (title, images) each; names: the title of each row. Returns `out`."""
    from massrl.report.pictures.grid import Cell, Row, grid
    from massrl.report.style import save_png

    rows = [Row(name, [Cell(images[r]) for _, images in columns]) for r, name in enumerate(names)]
    return save_png(grid(rows, [title for title, _ in columns], cell=1.5), out, dpi=100)
